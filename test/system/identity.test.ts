/** Chain module, relays and gateway as processes: where their secret comes from and where it is not, and the twin they keep. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bip39Generate, bip39ToMiniSecret, waitReady } from '@polkadot/wasm-crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ChainClient } from '../../gateway/chain/client.ts';
import { type RunningDevChain, startDevChain } from '../../gateway/chain/dev/start.ts';
import { Identity, RmbClient, TwinCache, writeKeyFile } from '../../gateway/rmb/index.ts';
import { startRedis, type TestRedis } from '../../modules/zbus/testing/redis.ts';
import { end } from '../ended.ts';
import { ownAddress } from './own-address.ts';
import { commandLines, Needle } from './secrets.ts';

const TIMEOUT = { timeout: 240_000 };
/** Waits end as soon as what they are for is there; this is for a machine with other work. */
const PATIENCE = { timeout: 60_000 };
const [DOMAIN_A, DOMAIN_B] = ['relay-a.example', 'relay-b.example'];
const main = (daemon: 'chain' | 'relay' | ''): string => join(import.meta.dirname, '../../gateway', daemon, 'main.ts');

interface Running {
  readonly child: ChildProcess;
  readonly said: () => Record<string, unknown>[];
}

let state: string;
let redis: TestRedis;
let chain: RunningDevChain;
let words: string;
let node: ChainClient;
let farmId: number;
const ends: (() => Promise<unknown>)[] = [];
const texts: string[] = [];
let gateway: Running | undefined;
let http = '';

/** Runs a daemon at log level `trace` until it says `until`. */
async function start(
  script: string,
  args: readonly string[],
  options: { until: string; secret?: string; env?: Record<string, string> },
): Promise<Running> {
  const { until, secret, env = {} } = options;
  const common = ['--broker', redis.broker, '--state', state, '--log-level', 'trace'];
  const child = spawn(process.execPath, [script, ...common, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const index = texts.push('') - 1;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      texts[index] += text;
    });
  }
  (child.stdio[3] as NodeJS.WritableStream).end(secret ?? '');
  ends.push(() => end(child, basename(script), 'SIGKILL'));
  const said = (): Record<string, unknown>[] =>
    (texts[index] ?? '')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const giveUpAt = Date.now() + PATIENCE.timeout;
  while (!said().some(({ msg }) => msg === until)) {
    if (child.exitCode !== null || Date.now() > giveUpAt) {
      throw new Error(`${script} did not say '${until}': ${texts[index]}`);
    }
    await sleep(20);
  }
  return { child, said };
}

async function startRelay(domain: string, port = 0): Promise<Running & { port: number; url: string }> {
  const running = await start(main('relay'), ['--listen', `${ownAddress}:${port}`, '--domain', domain], {
    until: 'ready',
  });
  const listening = Number(running.said().find(({ msg }) => msg === 'ready')?.port);
  return { ...running, port: listening, url: `ws://${ownAddress}:${listening}` };
}

async function startGateway(urls: readonly string[], ...flags: string[]): Promise<Running> {
  if (gateway !== undefined) await end(gateway.child, 'the gateway');
  const relays = ['--relay', urls.join(','), '--relay-domain', `${DOMAIN_A},${DOMAIN_B}`];
  gateway = await start(main(''), [...relays, '--key-fd', '3', '--http', '127.0.0.1:0', ...flags], {
    until: 'metrics and health are served',
    secret: JSON.stringify({ keyType: 'sr25519', secret: words }),
  });
  const port = gateway.said().find(({ msg }) => msg === 'metrics and health are served')?.port;
  http = `http://127.0.0.1:${port}`;
  return gateway;
}

const health = async (): Promise<{ status: number; parts: string[]; reasons: string }> => {
  const response = await fetch(`${http}/health`);
  const { problems = [] } = (await response.json()) as { problems?: { part: string; reason: string }[] };
  const reasons = problems.map(({ reason }) => reason).join('\n');
  return { status: response.status, parts: problems.map(({ part }) => part), reasons };
};
const healthy = { status: 200, parts: [], reasons: '' };
const warnings = (running: Running): unknown[] =>
  running.said().flatMap(({ level, msg }) => (level === 40 && /the chain names/.test(`${msg}`) ? [msg] : []));
const nonce = async (): Promise<number> => (await node.account(node.publicKey)).nonce;

beforeAll(async () => {
  await waitReady();
  words = bip39Generate(12);
  state = await mkdtemp(join(tmpdir(), 'gn-id-'));
  redis = await startRedis();
  chain = await startDevChain({ host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) });
  const people = async (secret: string): Promise<ChainClient> => {
    const identity = await Identity.fromSecret(secret, 'sr25519');
    const client = await ChainClient.connect({ endpoints: [chain.url], identity });
    ends.push(() => client.close());
    await client.endow();
    return client;
  };
  const farmer = await people(randomBytes(32).toString('hex'));
  await farmer.ensureTwin({ relay: DOMAIN_A });
  farmId = await farmer.createFarm('identity');
  node = await people(words);
  await start(main('chain'), ['--chain', chain.url, '--key-env', 'GN_KEY'], {
    until: 'ready',
    env: { GN_KEY: `sr25519:${words}` },
  });
}, 180_000);

afterEach(() => {
  for (const { child } of gateway === undefined ? [] : [gateway]) expect(child.exitCode).toBeNull();
});

afterAll(async () => {
  for (const one of ends.reverse()) await one().catch(() => undefined);
  await chain?.stop();
  await redis?.stop();
  await rm(state, { recursive: true, force: true });
});

describe('a gateway whose twin is on no chain', () => {
  it('makes it when told to, and answers at each of its relays, also after one was away', TIMEOUT, async () => {
    const a = await startRelay(DOMAIN_A);
    const b = await startRelay(DOMAIN_B);
    await startGateway([a.url, b.url]);
    await expect.poll(async () => (await health()).parts, PATIENCE).toContain('twin');
    expect(await node.twinByAccount(node.publicKey)).toBeUndefined();

    await startGateway([a.url, b.url], '--create-twin', 'true');
    await expect.poll(() => node.twinByAccount(node.publicKey), PATIENCE).toBeDefined();
    const made = await node.twinByAccount(node.publicKey);
    expect(made?.relayText).toBe(`${DOMAIN_A}_${DOMAIN_B}`);
    expect(made?.encryptionKey).toHaveLength(33);
    await node.createNode({ farmId, resources: { cru: 1n, mru: 1n, sru: 1n, hru: 0n } });
    await expect.poll(health, PATIENCE).toEqual(healthy);

    const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'ed25519');
    const user = await ChainClient.connect({ endpoints: [chain.url], identity });
    ends.push(() => user.close());
    await user.endow();
    // Its twin names both relays, it listens at one: answers must come by the one that it asked.
    const relay = [DOMAIN_A, DOMAIN_B];
    const twinId = await user.ensureTwin({ relay, encryptionKey: identity.encryptionKey });
    const ask = async (url: string): Promise<string> => {
      const twins = new TwinCache({ twin: (id) => user.twin(id) });
      const client = new RmbClient({ relays: [url], identity, twinId, session: 'test', twins });
      try {
        await client.connect({ deadlineMs: PATIENCE.timeout });
        const request = {
          twin: made?.id ?? 0,
          command: 'zos.system.version',
          payload: '',
          deadlineMs: PATIENCE.timeout,
        };
        return Buffer.from(await client.call(request)).toString();
      } finally {
        await client.close();
      }
    };
    for (const url of [a.url, b.url, a.url, b.url]) expect(await ask(url)).toContain('zos');
    await end(a.child, 'a relay', 'SIGKILL');
    expect(await ask(b.url)).toContain('zos');
    await expect.poll(health, PATIENCE).toEqual(healthy);
    const again = await startRelay(DOMAIN_A, a.port);
    expect(await ask(again.url)).toContain('zos');
  });

  it('says when another program changes its twin, once, and changes it back only when told to', TIMEOUT, async () => {
    const running = gateway as Running;
    const urls = ['ws://127.0.0.1:9', 'ws://127.0.0.1:9'];
    await node.updateTwin({ relay: [DOMAIN_B, 'other.example'], encryptionKey: null });
    await expect.poll(async () => (await health()).parts, PATIENCE).toEqual(['twin', 'twin']);
    await expect
      .poll(async () => (await health()).reasons, PATIENCE)
      .toMatch(/does not name relay-a\.example\n.*names other\.example, where nobody listens/);
    await expect
      .poll(() => warnings(running), PATIENCE)
      .toEqual([
        expect.stringContaining(
          'the chain names other.example, relay-b.example for this twin, this gateway listens at relay-a.example, relay-b.example',
        ),
      ]);
    expect(`${warnings(running)}`).toContain('no key for encryption');
    const spent = await nonce();

    // In another order and spelling it is the same set; the key is a matter of its own.
    await node.updateTwin({ relay: 'Relay-B.example_RELAY-A.example', encryptionKey: null });
    await expect.poll(health, PATIENCE).toEqual(healthy);
    await node.updateTwin({ relay: 'other.example', encryptionKey: new Uint8Array(33).fill(2) });
    await expect.poll(async () => (await health()).parts, PATIENCE).toEqual(['twin', 'twin', 'twin']);
    const text = await (await fetch(`${http}/metrics`)).text();
    expect(text).toMatch(/^gateway_twin_differences 3$/m);
    const unchanged = await startGateway(urls);
    await expect.poll(() => warnings(unchanged).length, PATIENCE).toBe(1);
    expect(`${warnings(unchanged)}`).toContain('--update-twin union');
    expect(await nonce()).toBe(spent + 2);

    const added = await startGateway(urls, '--update-twin', 'union');
    await expect
      .poll(async () => (await node.twinByAccount(node.publicKey))?.relayText, PATIENCE)
      .toBe(`other.example_${DOMAIN_A}_${DOMAIN_B}`);
    await expect.poll(async () => (await health()).parts, PATIENCE).not.toContain('twin');
    const union = await node.twinByAccount(node.publicKey);
    expect(union?.encryptionKey).toEqual((await Identity.fromSecret(words, 'sr25519')).encryptionKey);
    await expect
      .poll(() => `${warnings(added)}`, PATIENCE)
      .toContain('what clients send by other.example does not come here');
    await startGateway(urls, '--update-twin', 'replace');
    await expect
      .poll(async () => (await node.twinByAccount(node.publicKey))?.relayText, PATIENCE)
      .toBe(`${DOMAIN_A}_${DOMAIN_B}`);
    expect(await nonce()).toBe(spent + 4);
  });

  it('has its secret in no argument, no log and no file', TIMEOUT, async () => {
    const needle = new Needle([words], [bip39ToMiniSecret(words, '')]);
    // What looks for it does find it.
    const keyFile = join(state, 'key.json');
    await writeKeyFile(keyFile, { keyType: 'sr25519', secret: words });
    expect(await needle.filesIn(state)).toEqual([keyFile]);
    expect(needle.isIn(JSON.stringify({ seed: Buffer.from(bip39ToMiniSecret(words, '')).toString('hex') }))).toBe(true);
    expect(texts.filter((text) => text === '')).toEqual([]);
    expect(needle.isIn(texts.join('\n'))).toBe(false);
    const lines = commandLines();
    expect(lines.has(gateway?.child.pid ?? 0)).toBe(true);
    expect([...lines].filter(([, line]) => needle.isIn(line))).toEqual([]);
  });

  it('refuses a secret among its arguments, and does not repeat it', TIMEOUT, async () => {
    const needle = new Needle([words, ...words.split(' ').slice(0, 1)], [bip39ToMiniSecret(words, '')]);
    const hex = Buffer.from(bip39ToMiniSecret(words, '')).toString('hex');
    for (const [script, args] of [
      [main(''), ['--relay', 'ws://127.0.0.1:9', '--key-file', `0x${hex}`]],
      [main('chain'), ['--chain', chain.url, '--mnemonics', words]],
      [main('chain'), ['--chain', chain.url, '--key-file', ...words.split(' ')]],
    ] as const) {
      const child = spawn(process.execPath, [script, '--state', state, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      let said = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (said += data.toString()));
      const [code] = (await once(child, 'close', { signal: AbortSignal.timeout(PATIENCE.timeout) })) as [number];
      expect(code).toBe(1);
      expect(said).toContain('--key-file FILE, --key-env NAME, --key-fd NUMBER');
      expect(needle.isIn(said)).toBe(false);
    }
  });
});
