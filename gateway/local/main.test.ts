/** The stand-alone peer as a process, on the development chain. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { ChainClient } from '../chain/client.ts';
import { type RunningDevChain, startDevChain } from '../chain/dev/start.ts';
import { redirectLibraryLog } from '../chain/library-log.ts';
import { Relay } from '../relay/relay.ts';
import { writeKeyFile } from '../rmb/identity-source.ts';
import { Identity, type KeyType } from '../rmb/keys.ts';
import { TwinCache } from '../rmb/twins.ts';
import { until } from './testing/site.ts';

const log = pino({ level: 'silent' });
redirectLibraryLog();
const cleanUp: (() => Promise<unknown> | unknown)[] = [];
let chain: RunningDevChain;
let folder: string;
let relayUrl: string;
let mailbox: TestRedis;

interface Person {
  readonly keyFile: string;
  readonly twin: number;
}

interface Peer {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly redis: Redis;
}

async function person(keyType: KeyType, withTwin = true): Promise<Person> {
  const secret = randomBytes(32).toString('hex');
  const keyFile = join(folder, `${randomUUID()}.json`);
  await writeKeyFile(keyFile, { keyType, secret });
  if (!withTwin) return { keyFile, twin: 0 };
  const identity = await Identity.fromSecret(secret, keyType);
  const client = await ChainClient.connect({ endpoints: [chain.url], identity });
  await client.endow();
  const twin = await client.ensureTwin({ relay: 'localhost', encryptionKey: null });
  await client.close();
  return { keyFile, twin };
}

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./main.ts', import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  cleanUp.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return { child, output: () => output };
}

async function exitOf({ child, output }: ReturnType<typeof start>): Promise<{ code: number | null; output: string }> {
  if (child.exitCode === null) await once(child, 'exit');
  return { code: child.exitCode, output: output() };
}

async function peer(who: Person, redis: TestRedis, args: readonly string[]): Promise<Peer> {
  const started = start([
    ...['--key-file', who.keyFile, '-s', chain.url, '--relay', relayUrl, '-r', redis.broker],
    ...['--state', join(folder, 'state'), ...args],
  ]);
  await until(() => {
    if (started.child.exitCode !== null) throw new Error(started.output());
    return started.output().includes('"msg":"ready"');
  }, 'the peer is ready');
  const connection = new Redis({ path: redis.socket });
  connection.on('error', () => undefined);
  cleanUp.push(() => connection.disconnect(false));
  return { ...started, redis: connection };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-peer-'));
  cleanUp.push(() => rm(folder, { recursive: true, force: true }));
  chain = await startDevChain({ host: '127.0.0.1', port: 0, log });
  cleanUp.push(() => chain.stop());
  mailbox = await startRedis();
  cleanUp.push(() => mailbox.stop());
  const reader = new ChainClient({ endpoints: [chain.url] });
  cleanUp.push(() => reader.close());
  const twins = new TwinCache({ twin: (id) => reader.twin(id) });
  const relay = new Relay({ domains: ['localhost'], twins, broker: mailbox.broker, log });
  relayUrl = `ws://localhost:${await relay.listen('127.0.0.1', 0)}`;
  cleanUp.push(() => relay.close());
});
afterAll(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

const request = (dst: number, cmd: string): Record<string, unknown> & { ret: string } => ({
  ...{ ver: 1, ref: 'r', cmd, exp: 60, dat: 'MQ==', tag: null, dst: [dst], ret: randomUUID() },
  ...{ shm: 'application/json', now: 0 },
});

describe('the peer as a process', () => {
  it('stands between local programs and other twins; killed in the middle, the next one goes on', {
    timeout: 120_000,
  }, async () => {
    const [here, there] = [await startRedis(), await startRedis()];
    cleanUp.push(
      () => here.stop(),
      () => there.stop(),
    );
    const [user, server] = [await person('sr25519'), await person('ed25519')];
    const one = await peer(user, here, ['-k', 'sr25519', '--update-twin', 'union']);
    const args = ['--serve', 'calculator.add,testme', '--no-update'];
    const two = await peer(server, there, args);

    // One has written its key to the chain, as it was told to; two has not.
    expect(one.output()).not.toContain('the chain does not name');
    expect(two.output()).toContain('the chain does not name');

    const version = request(server.twin, 'rmb.version');
    await one.redis.lpush('msgbus.system.local', JSON.stringify(version));
    const [, told = ''] = (await one.redis.blpop(version.ret, 20)) ?? [];
    expect(JSON.parse(Buffer.from(JSON.parse(told).dat, 'base64').toString())).toMatch(/^gridnode v/);

    const add = request(server.twin, 'calculator.add');
    await one.redis.lpush('msgbus.system.local', JSON.stringify(add));
    const [, text = ''] = (await two.redis.brpop('msgbus.calculator.add', 20)) ?? [];
    const found = JSON.parse(text);
    expect(found).toMatchObject({ src: `${user.twin}`, cmd: 'calculator.add', dat: 'MQ==' });

    two.child.kill('SIGKILL');
    await once(two.child, 'exit');
    const reply = { ver: 1, ref: found.ref, dat: 'Mg==', dst: found.src, shm: found.shm, now: found.now, err: null };
    await two.redis.lpush('msgbus.system.reply', JSON.stringify(reply));
    const again = await peer(server, there, args);
    const [, answer = ''] = (await one.redis.blpop(add.ret, 20)) ?? [];
    expect(JSON.parse(answer)).toMatchObject({ ref: 'r', src: `${server.twin}`, dat: 'Mg==', err: null });

    for (const { child } of [one, again]) {
      child.kill('SIGTERM');
      await once(child, 'exit');
      expect(child.exitCode).toBe(0);
    }
  });

  it('ends with a reason where the secret is among the arguments', async () => {
    const { code, output } = await exitOf(start(['-m', Array.from({ length: 12 }, () => 'abandon').join(' ')]));
    expect(code).toBe(1);
    expect(output).toMatch(/-m is no place for a secret.*--key-file FILE/);
    expect(output).not.toContain('abandon');
  });

  it('ends where the key has no twin', async () => {
    const { keyFile } = await person('sr25519', false);
    const { code, output } = await exitOf(start(['--key-file', keyFile, '-s', chain.url, '--relay', relayUrl]));
    expect(code).toBe(1);
    expect(output).toContain('no twin found on this network with given key');
  });
});
