/** A node's gateway with programs of the operator beside it, which speak to it as to rmb-peer. */
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RmbClient, RmbError, writeKeyFile } from '../../gateway/rmb/index.ts';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { end, start } from '../bench/peers/child.ts';
import { DOMAIN, identityOf, NODE, secretOf, twinsOf } from '../bench/peers/twins.ts';
import { freePort, ownAddress } from './own-address.ts';

const USER = 10;
const DEADLINE = { timeout: 120_000 };

let state: string;
let bus: TestRedis;
let local: TestRedis;
let redis: Redis;
let children: ChildProcess[];
let user: RmbClient;
let relay: string;

beforeEach(async () => {
  children = [];
  state = await mkdtemp(join(tmpdir(), 'gn-local-'));
  [bus, local] = await Promise.all([startRedis(), startRedis()]);
  redis = new Redis({ path: local.socket });
  redis.on('error', () => undefined);
  await writeKeyFile(join(state, 'key.json'), { keyType: 'ed25519', secret: secretOf(NODE) });
  await run('../bench/peers/grid.ts', bus.broker, 'ed25519');
  const port = await freePort();
  relay = `ws://${ownAddress}:${port}`;
  await run('../../gateway/relay/main.ts', ...common(), '--listen', `${ownAddress}:${port}`, '--domain', DOMAIN);
  user = new RmbClient({
    relays: [relay],
    identity: await identityOf(USER, 'ed25519'),
    twinId: USER,
    twins: await twinsOf('ed25519'),
  });
  await user.connect();
}, 120_000);

afterEach(async () => {
  await user?.close();
  redis?.disconnect(false);
  await Promise.all(children.map(end));
  await bus?.stop();
  await local?.stop();
  await rm(state, { recursive: true, force: true });
});

const common = (): string[] => ['--broker', bus.broker, '--state', state, '--log-level', 'info'];

async function run(script: string, ...args: string[]): Promise<void> {
  const { child } = await start(join(import.meta.dirname, script), args);
  children.push(child);
}

async function startGateway(...flags: string[]): Promise<void> {
  const own = ['--relay', relay, '--key-file', join(state, 'key.json'), '--local-redis', local.broker];
  await run('../../gateway/main.ts', ...common(), ...own, '--local-commands', 'calculator.add', ...flags);
}

const call = async (command: string, payload: string): Promise<string> => {
  const answer = await user.call({ twin: NODE, command, payload, deadlineMs: 30_000 });
  return Buffer.from(answer).toString();
};

async function sendAsNode(): Promise<{ src: string; dat: string; err: { code: number; message: string } | null }> {
  const ret = randomUUID();
  const request = { ver: 1, ref: null, cmd: 'user.hello', exp: 60, dat: 'MQ==', dst: [USER], ret, now: 0 };
  await redis.lpush('msgbus.system.local', JSON.stringify(request));
  return JSON.parse((await redis.blpop(ret, 30))?.[1] ?? '');
}

describe('local services of a node', () => {
  it('answer beside the node, for the commands that the operator named', DEADLINE, async () => {
    await startGateway();
    expect(JSON.parse(await call('zos.storage.pools', ''))).toBeInstanceOf(Array);
    const sum = call('calculator.add', '[10,20]');
    const request = JSON.parse((await redis.brpop('msgbus.calculator.add', 30))?.[1] ?? '');
    expect(request).toMatchObject({ src: `${USER}`, dat: Buffer.from('[10,20]').toString('base64') });
    const reply = { ver: 1, ref: request.ref, dat: 'MzA=', dst: request.src, shm: request.shm, now: 0, err: null };
    await redis.lpush('msgbus.system.reply', JSON.stringify(reply));
    expect(await sum).toBe('30');
    await expect(call('calculator.sub', '[]')).rejects.toThrow(RmbError);
    expect(await redis.exists('msgbus.calculator.sub')).toBe(0);
    expect(await sendAsNode()).toMatchObject({
      src: '',
      err: { code: 500, message: 'other: this node lets no local program send as its twin' },
    });
  });

  it('send as the node where the operator lets them', DEADLINE, async () => {
    user.serve(async ({ envelope }) => {
      const node = await (await twinsOf('ed25519')).twin(NODE);
      if (node !== undefined) await user.answer(envelope, node, { kind: 'response', payload: '"hello"' });
    });
    await startGateway('--local-send', 'true');
    const answer = await sendAsNode();
    expect(answer).toMatchObject({ src: `${USER}`, err: null });
    expect(Buffer.from(answer.dat, 'base64').toString()).toBe('"hello"');
  });
});
