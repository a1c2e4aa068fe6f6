/** The gateway as a process between a relay and a bus: what a kill does not make it forget, what it tells who watches it. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Identity, PayloadCipher, writeKeyFile } from '../../gateway/rmb/index.ts';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { limitsGet, parseOutput } from '../../schemas/index.ts';
import { end, start } from '../bench/peers/child.ts';
import { DOMAIN, identityOf, NODE, secretOf } from '../bench/peers/twins.ts';
import { freePort, ownAddress } from './own-address.ts';
import { bytesOf, RawLine, type RequestWish, request } from './raw-line.ts';

const USER = 10;
const SESSION = 'raw';
const DEADLINE = { timeout: 120_000 };

let state: string;
let redis: TestRedis;
let children: ChildProcess[];
let lines: RawLine[];
let relay: { child: ChildProcess; url: string };
let gateway: ChildProcess;
let http: string;
let user: Identity;

beforeEach(async () => {
  [children, lines] = [[], []];
  state = await mkdtemp(join(tmpdir(), 'gn-gw-'));
  redis = await startRedis();
  user = await identityOf(USER, 'ed25519');
  await writeKeyFile(join(state, 'key.json'), { keyType: 'ed25519', secret: secretOf(NODE) });
  await writeFile(join(state, 'limits.json'), '{"lifetimeSeconds":900}');
  await run('../bench/peers/grid.ts', redis.broker, 'ed25519');
  await startRelay(await freePort());
  http = `${ownAddress}:${await freePort()}`;
  await startGateway();
}, 120_000);

afterEach(async () => {
  for (const line of lines) line.close();
  await Promise.all(children.map(end));
  await redis?.stop();
  await rm(state, { recursive: true, force: true });
});

async function run(script: string, ...args: string[]): Promise<ChildProcess> {
  const { child } = await start(join(import.meta.dirname, script), args);
  children.push(child);
  return child;
}

const bus = (): string[] => ['--broker', redis.broker, '--state', state, '--log-level', 'info'];

async function startRelay(port: number): Promise<void> {
  const listen = ['--listen', `${ownAddress}:${port}`, '--domain', DOMAIN];
  relay = { child: await run('../../gateway/relay/main.ts', ...bus(), ...listen), url: `ws://${ownAddress}:${port}` };
}

async function startGateway(): Promise<void> {
  const flags = [
    '--relay',
    relay.url,
    '--key-file',
    join(state, 'key.json'),
    '--http',
    http,
    '--limits',
    join(state, 'limits.json'),
  ];
  gateway = await run('../../gateway/main.ts', ...bus(), ...flags);
}

const openLine = async (): Promise<RawLine> => {
  const line = await RawLine.open(relay.url, user, USER, SESSION);
  lines.push(line);
  return line;
};
const wish = (change: Partial<RequestWish> = {}): RequestWish => ({
  source: { twin: USER, session: SESSION },
  destination: { twin: NODE },
  command: 'zos.storage.pools',
  ...change,
});
/** What the node encrypted for the user. */
const opened = async (bytes: Uint8Array): Promise<Uint8Array> =>
  new PayloadCipher(user).decrypt(bytes, (await identityOf(NODE, 'ed25519')).encryptionKey);
const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`http://${http}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
};
const health = async (): Promise<[number, unknown]> => {
  const response = await fetch(`http://${http}/health`);
  const body = (await response.json()) as { problems?: { part: string }[] };
  return [response.status, body.problems?.map(({ part }) => part)];
};

describe('the gateway process', () => {
  it('refuses after kill -9 what it answered before', DEADLINE, async () => {
    const line = await openLine();
    const before = Array.from({ length: 20 }, () => request(wish({ expiration: 600 }), user));
    for (const envelope of before) line.send(bytesOf(envelope));
    for (const { uid } of before) expect((await line.answer(uid))?.message.case).toBe('response');
    await end(gateway);
    expect((await stat(join(state, 'gateway', 'replay.log'))).mode & 0o777).toBe(0o600);
    await startGateway();
    expect(await metric('gateway_replay_log_records')).toBe(20);
    for (const envelope of before) line.send(bytesOf(envelope));
    const good = request(wish(), user);
    line.send(bytesOf(good));
    expect((await line.answer(good.uid))?.message.case).toBe('response');
    await expect
      .poll(() => metric('gateway_door_refused_total\\{check="replay",code="envelope_replayed"\\}'))
      // More where the relay had not learned in time that the first copies were taken.
      .toBeGreaterThanOrEqual(20);
    expect(line.received.length).toBe(21);
    // The page is collected once a second.
    await expect.poll(() => metric('gateway_door_admitted_total')).toBe(1);
  });

  it('runs no request twice, whenever it is killed', DEADLINE, async () => {
    const line = await openLine();
    const sent = Array.from({ length: 30 }, () => request(wish({ expiration: 600 }), user));
    for (const envelope of sent) line.send(bytesOf(envelope));
    // Killed in the middle: some are answered, some wait, some lie in the relay.
    await line.answer(sent[5]?.uid ?? '');
    await end(gateway);
    await startGateway();
    for (const envelope of sent) line.send(bytesOf(envelope));
    const good = request(wish(), user);
    line.send(bytesOf(good));
    expect((await line.answer(good.uid))?.message.case).toBe('response');
    await expect.poll(() => metric('gateway_requests_running')).toBe(0);
    const answers = new Map<string, number>();
    // A refusal may be told for each copy: what is refused has not run.
    for (const { uid, message } of line.received) {
      if (message.case === 'response') answers.set(uid, (answers.get(uid) ?? 0) + 1);
    }
    expect(answers.size).toBeGreaterThan(5);
    expect([...answers.values()].filter((count) => count > 1)).toEqual([]);
  });

  it('keeps the limits of its file, and tells them', DEADLINE, async () => {
    const line = await openLine();
    const asked = request(wish({ command: 'zos.limits.get' }), user);
    line.send(bytesOf(asked));
    const { payload } = (await line.answer(asked.uid)) ?? {};
    if (payload?.value === undefined) throw new Error('no answer');
    const text = payload.case === 'cipher' ? await opened(payload.value) : payload.value;
    expect(parseOutput(limitsGet, text)).toMatchObject({ clock: { lifetime_seconds: 900, ahead_seconds: 60 } });
    const long = request(wish({ expiration: 901 }), user);
    line.send(bytesOf(long));
    expect((await line.answer(long.uid))?.message).toMatchObject({
      case: 'error',
      value: { code: 1103, message: expect.stringContaining('from 1 s to 900 s are accepted') },
    });
  });

  it('shows its numbers and its health', DEADLINE, async () => {
    const line = await openLine();
    const asked = request(wish(), user);
    line.send(bytesOf(asked));
    await line.answer(asked.uid);
    expect(await health()).toEqual([200, undefined]);
    const page = async (): Promise<string> => (await fetch(`http://${http}/metrics`)).text();
    for (const name of [
      'gateway_door_admitted_total 1',
      'gateway_relay_connected 1',
      'gateway_replay_log_unwritten_total 0',
      'gateway_command_seconds_count{command="zos.storage.pools",outcome="ok"} 1',
      'process_resident_memory_bytes{module="rmb-gateway"} ',
      'nodejs_eventloop_lag_seconds{module="rmb-gateway"} ',
      'gridnode_up{module="rmb-gateway"} 1',
    ]) {
      await expect.poll(page).toContain(`\n${name}`);
    }
    expect((await fetch(`http://${http}/`)).status).toBe(404);

    const port = Number(new URL(relay.url).port);
    await end(relay.child);
    await expect.poll(health).toEqual([503, ['relay']]);
    await expect.poll(() => metric('gateway_relay_connected')).toBe(0);
    await startRelay(port);
    await expect.poll(health).toEqual([200, undefined]);
    await redis.restart(6000);
    await expect.poll(health).toEqual([200, undefined]);
  });

  it('says over HTTP that the bus is away', DEADLINE, async () => {
    await redis.stop();
    await expect.poll(health).toEqual([503, ['bus']]);
    expect(gateway.exitCode).toBeNull();
  });

  it('opens its door where the port for numbers is taken', DEADLINE, async () => {
    await end(gateway);
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(Number(http.split(':')[1]), ownAddress, resolve));
    try {
      await startGateway();
      const line = await openLine();
      const asked = request(wish(), user);
      line.send(bytesOf(asked));
      expect((await line.answer(asked.uid))?.message.case).toBe('response');
    } finally {
      await new Promise((resolve) => taken.close(resolve));
    }
    expect((await readFile(join(state, 'gateway', 'replay.log'))).length).toBeGreaterThan(0);
  });
});
