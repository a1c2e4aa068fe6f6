/**
 * A small grid in a network namespace of its own (the caller makes it): chain,
 * relay behind TLS on the one port and host name that the official client can
 * write to the chain, a serving node. Prints what the official client got.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bip39Generate, waitReady } from '@polkadot/wasm-crypto';
import { pino } from 'pino';
import { ChainClient } from '../../gateway/chain/client.ts';
import { startDevChain } from '../../gateway/chain/dev/start.ts';
import { Door } from '../../gateway/door/door.ts';
import { Relay } from '../../gateway/relay/relay.ts';
import { PayloadCipher } from '../../gateway/rmb/cipher.ts';
import { RmbClient } from '../../gateway/rmb/client.ts';
import { Identity, keyTypes } from '../../gateway/rmb/keys.ts';
import { SignatureVerifier } from '../../gateway/rmb/signature.ts';
import { TwinCache, type TwinSource } from '../../gateway/rmb/twins.ts';
import { run } from '../../modules/host/run.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { callOfficial, startTls } from './official-client.ts';

const HOST = 'localhost';

const log = pino({ level: process.env.TEST_LOG ?? 'silent' }, pino.destination(2));
const folder = await mkdtemp(join(tmpdir(), 'official-'));
const ends: (() => Promise<unknown> | unknown)[] = [() => rm(folder, { recursive: true, force: true })];

try {
  process.stdout.write(`${JSON.stringify(await play())}\n`);
} finally {
  for (const end of ends.reverse()) await end();
}
process.exit(0);

async function play(): Promise<Record<string, unknown>> {
  await run('ip', ['link', 'set', 'lo', 'up'], { deadlineMs: 5000 });
  const chain = await startDevChain({ host: '127.0.0.1', port: 0, log });
  ends.push(() => chain.stop());
  const redis = await startRedis();
  ends.push(() => redis.stop());

  const nodeIdentity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
  const onChain = await ChainClient.connect({ endpoints: [chain.url], identity: nodeIdentity });
  ends.push(() => onChain.close());
  await onChain.endow();
  const node = await onChain.ensureTwin({ relay: HOST, encryptionKey: nodeIdentity.encryptionKey });
  const source: TwinSource = { twin: (id) => onChain.twin(id) };
  const twins = new TwinCache(source);

  const relay = new Relay({ domains: [HOST], twins, broker: redis.broker, log });
  ends.push(() => relay.close());
  const port = await relay.listen('127.0.0.1', 0);
  const target = { host: '127.0.0.1', port };
  const { certificate, close } = await startTls(folder, { host: HOST, address: '127.0.0.1', target });
  ends.push(close);
  await serve(node, nodeIdentity, twins, `ws://127.0.0.1:${port}`);

  await waitReady();
  const outcome: Record<string, unknown> = {};
  for (const keyType of keyTypes) {
    const secret = keyType === 'sr25519' ? bip39Generate(12) : `0x${randomBytes(32).toString('hex')}`;
    const user = await ChainClient.connect({
      endpoints: [chain.url],
      identity: await Identity.fromSecret(secret, keyType),
    });
    ends.push(() => user.close());
    await user.endow();
    // No key yet: the official client stores its own when it connects.
    const id = await user.ensureTwin({ relay: HOST, encryptionKey: null });
    const calls = [
      { command: 'zos.system.version', data: '' },
      { command: 'zos.echo', data: JSON.stringify({ contract_id: 42, text: 'ünï' }) },
      { command: 'zos.nothing', data: 'null' },
    ];
    const chainUrl = chain.url;
    const answer = await callOfficial(certificate, {
      chainUrl,
      relayUrl: `wss://${HOST}`,
      secret,
      keyType,
      session: `official-${keyType}`,
      twin: node,
      calls,
    });
    outcome[keyType] = { id, ...answer, keyStored: (await user.twin(id))?.encryptionKey?.length };
  }
  return outcome;
}

async function serve(twinId: number, identity: Identity, twins: TwinSource, url: string): Promise<void> {
  const verifier = new SignatureVerifier();
  const client = new RmbClient({ relays: [url], identity, twinId, twins, verifier, log });
  ends.push(() => verifier.close());
  ends.push(() => client.close());
  const door = new Door({
    twinId,
    twins,
    verifier,
    cipher: new PayloadCipher(identity),
    answer: (request, twin, answer) => client.answer(request, twin, answer),
    log,
  });
  client.serve(
    door.handler(async ({ command, payload, encrypted, twin }) => {
      if (command === 'zos.system.version') return { kind: 'response', payload: '{"zos":"0.1.0","zinit":"0.1.0"}' };
      if (command !== 'zos.echo') return { kind: 'error', code: 0, message: 'function is not found' };
      const got = JSON.parse(Buffer.from(payload).toString('utf8'));
      return { kind: 'response', payload: JSON.stringify({ got, encrypted, twin: twin.id }) };
    }),
  );
  await client.connect();
}
