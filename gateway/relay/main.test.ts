import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { chain } from '../../modules/api-gateway/interface.ts';
import { ZbusServer } from '../../modules/zbus/server.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { Door } from '../door/door.ts';
import { PayloadCipher } from '../rmb/cipher.ts';
import { RmbClient } from '../rmb/client.ts';
import { SignatureVerifier } from '../rmb/signature.ts';
import { TestChain } from './testing/world.ts';

const log = pino({ level: 'silent' });
const ends: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** The process's log lines until one has this message. */
async function lineWith(child: ChildProcess, message: string): Promise<Record<string, unknown>> {
  let text = '';
  const deadline = Date.now() + 20_000;
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  while (Date.now() < deadline) {
    for (const line of text.split('\n')) {
      const found = line.startsWith('{') && line.endsWith('}') ? JSON.parse(line) : undefined;
      if (found?.msg === message) return found;
    }
    if (child.exitCode !== null) throw new Error(`relay ended with ${child.exitCode}: ${text}`);
    await sleep(20);
  }
  throw new Error(`no '${message}' in: ${text}`);
}

describe('the relay process', () => {
  it('asks the chain module for twins, follows their changes, and stops when told', { timeout: 90_000 }, async () => {
    const redis = await startRedis();
    ends.push(() => redis.stop());
    const twins = new TestChain();
    const user = await twins.add(7, 'sr25519');
    const node = await twins.add(17, 'ed25519');

    const changed: number[] = [];
    const server = new ZbusServer({ module: 'api-gateway', broker: redis.broker, log });
    server.serve(chain, {
      Twin: async ({ id }) => {
        const found = await twins.twin(id);
        return {
          Found: found !== undefined,
          TwinID: id,
          Account: found?.account ?? new Uint8Array(32),
          Relay: found?.relay.join('_') ?? '',
          EncryptionKey: found?.encryptionKey ?? null,
          BlockNumber: 1,
          AgeSeconds: 0,
        };
      },
      Contract: () => Promise.reject(new Error('not asked for')),
      ContractBatch: () => Promise.reject(new Error('not asked for')),
      Node: () => Promise.reject(new Error('not asked for')),
      OwnTwin: () => Promise.reject(new Error('not asked for')),
      EnsureTwin: () => Promise.reject(new Error('not asked for')),
      ActiveContracts: () => Promise.reject(new Error('not asked for')),
      Reported: () => Promise.reject(new Error('not asked for')),
      ReportTraffic: () => Promise.reject(new Error('not asked for')),
      EnsureNode: () => Promise.reject(new Error('not asked for')),
      async *Twins$(signal: AbortSignal) {
        for (let Sequence = 1; !signal.aborted; Sequence += 1) {
          yield { TwinID: changed.shift() ?? 0, BlockNumber: 1, Generation: 1, Sequence };
          await sleep(20);
        }
      },
    });
    await server.start();
    ends.push(() => server.stop());

    const child = spawn(
      process.execPath,
      [
        fileURLToPath(new URL('./main.ts', import.meta.url)),
        ...['--broker', redis.broker, '--listen', '127.0.0.1:0', '--domain', 'relay.example'],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    ends.push(() => child.kill('SIGKILL'));
    const { port } = await lineWith(child, 'ready');
    const numbers = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const relays = [`ws://127.0.0.1:${port}`];

    const verifier = new SignatureVerifier({ threads: 1 });
    ends.push(() => verifier.close());
    const connect = async (who: typeof user): Promise<RmbClient> => {
      const client = new RmbClient({ relays, identity: who.identity, twinId: who.id, twins, verifier });
      ends.push(() => client.close());
      await client.connect();
      return client;
    };
    const [caller, peer] = [await connect(user), await connect(node)];
    const door = new Door({
      twinId: node.id,
      twins,
      verifier,
      cipher: new PayloadCipher(node.identity),
      answer: (request, twin, answer) => peer.answer(request, twin, answer),
      log,
    });
    peer.serve(door.handler(async () => ({ kind: 'response', payload: '1' })));
    const answer = await caller.call({ twin: 17, command: 'zos.x', payload: '', deadlineMs: 10_000 });
    expect(Buffer.from(answer).toString()).toBe('1');

    // The relay knows twin 17's relay; when the chain says it moved, it asks again.
    await peer.close();
    twins.put(17, node.identity, { relay: ['elsewhere.example'] });
    twins.put(7, user.identity);
    changed.push(17);
    const outcome = (): Promise<string> =>
      caller.call({ twin: 17, command: 'zos.x', payload: '', deadlineMs: 1000 }).then(
        () => 'answered',
        (error: { kind: string }) => error.kind,
      );
    await expect.poll(outcome, { timeout: 20_000 }).toBe('relay-refused');

    await expect.poll(numbers, { timeout: 20_000 }).toMatch(/relay_worker_connections\{worker="0"\} 1/);
    const metrics = await numbers();
    expect(metrics).toContain('process_resident_memory_bytes');
    expect(await readFile(`/proc/${child.pid}/cmdline`, 'latin1')).toMatch(/^relay/);

    child.kill('SIGTERM');
    const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(20_000) });
    expect(code).toBe(0);
  });

  it('says what is wrong with its flags', { timeout: 90_000 }, async () => {
    const wrong = [[], ['--broker', 'unix:///nowhere', '--listen', 'nonsense']].map(async (flags) => {
      const main = fileURLToPath(new URL('./main.ts', import.meta.url));
      const child = spawn(process.execPath, [main, ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
      ends.push(() => child.kill('SIGKILL'));
      let text = '';
      child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(50_000) });
      expect(code).toBe(1);
      expect(text).toMatch(/relay: --(broker|listen)/);
    });
    await Promise.all(wrong);
  });
});
