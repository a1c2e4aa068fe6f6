/**
 * A small grid in a network namespace of its own (the caller makes it): chain,
 * two relays as processes behind TLS on the one port and the host names that
 * the official client can write to the chain, a node with and one without a
 * key for encryption, both at both relays. Prints what the official client got.
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bip39Generate, waitReady } from '@polkadot/wasm-crypto';
import { pino } from 'pino';
import { chainService } from '../../gateway/chain/chain-service.ts';
import { ChainClient } from '../../gateway/chain/client.ts';
import { startDevChain } from '../../gateway/chain/dev/start.ts';
import { LastKnown } from '../../gateway/chain/last-known.ts';
import { NodeMembership } from '../../gateway/chain/membership.ts';
import { ChainStore } from '../../gateway/chain/store.ts';
import { Door } from '../../gateway/door/door.ts';
import { PayloadCipher } from '../../gateway/rmb/cipher.ts';
import { RmbClient } from '../../gateway/rmb/client.ts';
import { Identity, type KeyType } from '../../gateway/rmb/keys.ts';
import { SignatureVerifier } from '../../gateway/rmb/signature.ts';
import { TwinCache } from '../../gateway/rmb/twins.ts';
import { chain } from '../../modules/api-gateway/interface.ts';
import { run } from '../../modules/host/run.ts';
import { ZbusServer } from '../../modules/zbus/server.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { end, start } from '../bench/peers/child.ts';
import { type OfficialCall, OfficialClient, type OfficialResult, startTls } from './official-client.ts';

/** Host, address and port of each relay. */
const RELAYS = [
  { host: 'localhost', address: '127.0.0.1', port: 8381 },
  { host: '127.0.0.2', address: '127.0.0.2', port: 8382 },
] as const;
const HOSTS = RELAYS.map(({ host }) => host);
const AT_ONCE = 200;

const log = pino({ level: process.env.TEST_LOG ?? 'silent' }, pino.destination(2));
const folder = await mkdtemp(join(tmpdir(), 'gn-official-'));
const ends: (() => Promise<unknown> | unknown)[] = [() => rm(folder, { recursive: true, force: true })];

try {
  process.stdout.write(`${JSON.stringify(await play())}\n`);
} finally {
  for (const one of ends.reverse()) await one();
}
process.exit(0);

interface Twin {
  readonly id: number;
  readonly secret: string;
  readonly identity: Identity;
  readonly onChain: ChainClient;
}

/** A funded twin. */
async function newTwin(chainUrl: string, keyType: KeyType, withKey: boolean): Promise<Twin> {
  const secret = keyType === 'sr25519' ? bip39Generate(12) : `0x${randomBytes(32).toString('hex')}`;
  const identity = await Identity.fromSecret(secret, keyType);
  const onChain = await ChainClient.connect({ endpoints: [chainUrl], identity });
  ends.push(() => onChain.close());
  await onChain.endow();
  const encryptionKey = withKey ? identity.encryptionKey : null;
  return { id: await onChain.ensureTwin({ relay: HOSTS, encryptionKey }), secret, identity, onChain };
}

async function play(): Promise<Record<string, unknown>> {
  await run('ip', ['link', 'set', 'lo', 'up'], { deadlineMs: 5000 });
  await waitReady();
  const { url: chainUrl, stop } = await startDevChain({ host: '127.0.0.1', port: 0, log });
  ends.push(stop);
  const keyed = await newTwin(chainUrl, 'ed25519', true);
  const plain = await newTwin(chainUrl, 'sr25519', false);
  const brokers = await Promise.all(RELAYS.map(() => startBroker(keyed)));
  const relays = await Promise.all(brokers.map(startRelay));
  ends.push(() => Promise.all(relays.map(end)));
  const certificates = await Promise.all(RELAYS.map((_, index) => startTlsFor(index)));
  const verifier = new SignatureVerifier();
  ends.push(() => verifier.close());
  for (const node of [keyed, plain]) await serve(node, verifier);

  // sr25519 at the first relay with two sessions, one of them the empty text; ed25519 at the second.
  const users = await Promise.all([newTwin(chainUrl, 'sr25519', false), newTwin(chainUrl, 'ed25519', false)]);
  const open = ({ secret, identity }: Twin, relay: number, session: string): Promise<OfficialClient> =>
    OfficialClient.open(certificates[relay] ?? '', {
      ...{ chainUrl, secret, session },
      relayUrl: `wss://${RELAYS[relay]?.host}`,
      keyType: identity.keyType,
    });
  // One after the other: each is a process that loads for seconds, with a time limit of its own.
  const clients = [await open(users[0], 0, 'one'), await open(users[0], 0, ''), await open(users[1], 1, 'one')];
  ends.push(() => clients.forEach((client) => void client.close()));

  const calls = [keyed, plain].flatMap(({ id }) => requests(id));
  const asked = await Promise.all(clients.map((client) => client.askAtOnce(calls)));
  const atOnce = await Promise.all(clients.map((client, index) => many(client, [keyed.id, plain.id][index % 2] ?? 0)));
  const pings = await Promise.all(clients.map((client) => client.ping()));

  // One relay is killed, the other stopped; both are asked for while they are away, and start again.
  const [killed, stopped] = relays as [ChildProcess, ChildProcess];
  await Promise.all([end(killed), stopCleanly(stopped)]);
  await Promise.all(clients.map((client) => client.lost()));
  const meanwhile = Promise.all(clients.map((client) => client.ask(requests(keyed.id).slice(0, 1))));
  for (const [index, broker] of brokers.entries()) relays[index] = await startRelay(broker, index);
  const outage = await meanwhile;
  const after = await Promise.all(clients.map((client) => client.askAtOnce(requests(keyed.id))));

  const stored = await Promise.all(users.map(({ id, onChain }) => onChain.twin(id)));
  return {
    users: users.map(({ id }, index) => ({
      id,
      relay: stored[index]?.relayText,
      keyBytes: stored[index]?.encryptionKey?.length,
    })),
    clients: clients.map((_, index) => ({
      asked: asked[index],
      atOnce: atOnce[index],
      ping: pings[index],
      outage: outage[index],
      after: after[index],
    })),
  };
}

function requests(twin: number): OfficialCall[] {
  return [
    { command: 'zos.system.version', data: '', twin },
    { command: 'zos.echo', data: JSON.stringify({ contract_id: 42, text: 'ünï' }), twin },
    { command: 'zos.nothing', data: 'null', twin },
  ];
}

/** Calls side by side; how many got their own answer, and what others got. */
async function many(client: OfficialClient, twin: number): Promise<{ own: number; others: OfficialResult[] }> {
  const calls = Array.from({ length: AT_ONCE }, (_, n) => ({ command: 'zos.echo', data: JSON.stringify({ n }), twin }));
  const results = await client.askAtOnce(calls);
  const isOwn = (result: OfficialResult, n: number): boolean =>
    'value' in result && (result.value as { got: { n: number } }).got.n === n;
  const others = results.filter((result, n) => !isOwn(result, n));
  return { own: results.length - others.length, others: others.slice(0, 5) };
}

/** What a relay needs: a store of its own, and the chain as a node's module serves it. */
async function startBroker({ onChain, identity }: Twin): Promise<string> {
  const { broker, stop } = await startRedis();
  ends.push(stop);
  const server = new ZbusServer({ module: 'api-gateway', broker, log });
  const membership = new NodeMembership(onChain, identity.publicKey);
  const { encryptionKey } = identity;
  const store = new ChainStore(join(folder, `chain-${identity.keyType}.sqlite`), (what, error) =>
    log.error({ err: error }, what),
  );
  const views = new LastKnown(store, onChain.connection);
  const say = (level: 'info' | 'warn', text: string): void => log[level](text);
  server.serve(chain, chainService({ client: onChain, membership, store, views, encryptionKey, say }));
  await server.start();
  ends.push(async () => {
    await server.stop();
    store.close();
  });
  return broker;
}

async function startRelay(broker: string, index: number): Promise<ChildProcess> {
  const { host, port } = RELAYS[index] ?? RELAYS[0];
  const flags = ['--broker', broker, '--listen', `127.0.0.1:${port}`, '--domain', host];
  const script = join(import.meta.dirname, '../../gateway/relay/main.ts');
  return (await start(script, [...flags, '--log-level', 'info'])).child;
}

async function stopCleanly(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}

async function startTlsFor(index: number): Promise<string> {
  const { host, address, port } = RELAYS[index] ?? RELAYS[0];
  const place = join(folder, `${index}`);
  await mkdir(place);
  const { certificate, close } = await startTls(place, { host, address, target: { host: '127.0.0.1', port } });
  ends.push(close);
  return certificate;
}

async function serve({ id, identity, onChain }: Twin, verifier: SignatureVerifier): Promise<void> {
  const twins = new TwinCache({ twin: (twin) => onChain.twin(twin) });
  const urls = RELAYS.map(({ port }) => `ws://127.0.0.1:${port}`);
  const client = new RmbClient({ relays: urls, identity, twinId: id, twins, verifier, log });
  ends.push(() => client.close());
  const door = new Door({
    twinId: id,
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
