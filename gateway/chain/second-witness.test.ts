/** Who says that a contract is gone, where several endpoints could. */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Identity } from '../rmb/keys.ts';
import { chainService } from './chain-service.ts';
import { ChainClient } from './client.ts';
import { RpcServer } from './dev/rpc/server.ts';
import { Runtimes } from './dev/runtime.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { LastKnown } from './last-known.ts';
import { redirectLibraryLog } from './library-log.ts';
import { NodeMembership } from './membership.ts';
import { SecondWitness } from './second-witness.ts';
import { ChainStore } from './store.ts';
import { TcpProxy } from './testing/tcp-proxy.ts';

const log = pino({ level: 'silent' });
const PATIENCE = { timeout: 20_000 };
const timing = { idleBlockMs: 3_600_000, finalityMs: 500 };
/** No survey comes in between. */
const health = {
  ...{ connectMs: 20_000, answerMs: 20_000, probeMs: 10_000, stallMs: 3_600_000 },
  ...{ surveyMs: 3_600_000, firstSurveyMs: 3_600_000 },
};
redirectLibraryLog();

let folder: string;
/** Here the contract was cancelled. */
let wrong: RunningDevChain;
/** The same chain, where it lives on. */
let right: RunningDevChain;
/** Another server of the first one. */
let mirror: RpcServer;
let mirrorUrl: string;
let contract: bigint;
const ends: Array<() => Promise<unknown>> = [];

const start = (name: string): Promise<RunningDevChain> =>
  startDevChain({ host: '127.0.0.1', port: 0, log, timing, faults: true, state: join(folder, name) });

interface Asked {
  readonly ask: (id?: bigint) => Promise<boolean>;
  readonly said: string[];
  readonly client: ChainClient;
}

async function open(endpoints: string[], newMs?: number): Promise<Asked> {
  const client = await ChainClient.connect({ endpoints, health, deadlineMs: 30_000 });
  ends.push(() => client.close());
  await expect.poll(() => client.connection.endpoint, PATIENCE).toBe(endpoints[0]);
  const said: string[] = [];
  const options = { isLost: ({ contract: found }: { contract: unknown }) => found === null };
  const witness = new SecondWitness(client.connection, { ...options, say: (_level, text) => said.push(text) }, newMs);
  const ask = async (id = contract): Promise<boolean> =>
    (await witness.contract(id, { deadlineMs: 20_000 })).contract !== null;
  return { ask, said, client };
}

async function proxied(url: string): Promise<TcpProxy> {
  const proxy = await TcpProxy.before(url);
  ends.push(() => proxy.close());
  return proxy;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'witness-'));
  wrong = await start('wrong');
  const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
  const user = await ChainClient.connect({ endpoints: [wrong.url], identity, deadlineMs: 30_000 });
  await user.endow();
  await user.ensureTwin({ relay: 'relay.example' });
  const farmId = await user.createFarm('witness');
  const nodeId = await user.createNode({ farmId, resources: { hru: 1n, sru: 1n, cru: 1n, mru: 1n } });
  contract = await user.createNodeContract({ nodeId, hash: randomBytes(16).toString('hex') });
  const { hash } = wrong.chain.head;
  const isKept = async (): Promise<boolean> =>
    (await readFile(join(folder, 'wrong/chain.json'), 'utf8')).includes(hash);
  while (!(await isKept().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 50));
  await cp(join(folder, 'wrong'), join(folder, 'right'), { recursive: true });
  right = await start('right');
  await user.cancelContract(contract);
  await user.close();
  for (const { chain } of [wrong, right]) {
    while (chain.head.number < 30) chain.seal();
    chain.finalize(30);
  }
  mirror = new RpcServer({
    chain: wrong.chain,
    runtimes: new Runtimes(),
    faults: true,
    host: '127.0.0.1',
    port: 0,
    log,
  });
  mirrorUrl = `ws://127.0.0.1:${await mirror.listening()}`;
}, 120_000);

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

afterAll(async () => {
  await mirror?.close();
  for (const chain of [wrong, right]) await chain?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('W26: a contract that is gone', () => {
  it('is asked for at another endpoint the second time, which may have it', async () => {
    const { ask, said, client } = await open([wrong.url, right.url]);
    expect(await ask()).toBe(false);
    expect(await ask()).toBe(true);
    expect(said).toEqual([expect.stringMatching(new RegExp(`${right.url} has it as of block 30: nothing is ended`))]);
    // It stays so for as long as they disagree, and the endpoint in use stays.
    expect(await ask()).toBe(true);
    expect(client.connection.endpoint).toBe(wrong.url);
  }, 60_000);

  it('is gone where two endpoints say so, and then no other is visited for it', async () => {
    const second = await proxied(mirrorUrl);
    const { ask, said } = await open([wrong.url, second.url]);
    for (const visits of [0, 1, 1, 1]) {
      expect(await ask()).toBe(false);
      expect(second.accepted).toBe(visits);
    }
    expect(said).toEqual([]);
  }, 60_000);

  it('is gone by what one endpoint says twice where no other answers', async () => {
    const dead = await proxied(right.url);
    dead.fallSilent();
    const { ask } = await open([wrong.url, dead.url, 'ws://127.0.0.1:9']);
    expect([await ask(), await ask()]).toEqual([false, false]);
    const alone = await open([wrong.url]);
    expect([await alone.ask(), await alone.ask()]).toEqual([false, false]);
  }, 60_000);

  it('is not judged by an endpoint whose final block is older', async () => {
    wrong.chain.seal();
    wrong.chain.finalize(wrong.chain.head.number);
    const { ask } = await open([wrong.url, right.url]);
    expect(await ask()).toBe(false);
    // One that still has the contract is believed.
    expect(await ask()).toBe(true);
    const gone = await open([wrong.url, right.url], 0);
    expect(await gone.ask(4711n)).toBe(false);
    await expect(gone.ask(4711n)).rejects.toMatchObject({ code: 'chain_behind' });
  }, 60_000);

  it('is asked for elsewhere only after a while where its id was never given', async () => {
    const second = await proxied(mirrorUrl);
    const { ask } = await open([wrong.url, second.url], 3_600_000);
    for (let times = 0; times < 3; times += 1) expect(await ask(4711n)).toBe(false);
    expect(second.accepted).toBe(0);
    const { ask: later } = await open([wrong.url, second.url], 0);
    for (let times = 0; times < 3; times += 1) expect(await later(4711n)).toBe(false);
    expect(second.accepted).toBe(1);
  }, 60_000);

  it("is so for who asks the chain's process", async () => {
    const identity = await Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
    const client = await ChainClient.connect({
      endpoints: [wrong.url, right.url],
      health,
      identity,
      deadlineMs: 30_000,
    });
    ends.push(() => client.close());
    const store = new ChainStore(join(folder, 'chain.sqlite'), () => undefined);
    ends.push(async () => store.close());
    const membership = new NodeMembership(client, identity.publicKey);
    const views = new LastKnown(store, client.connection);
    const { encryptionKey } = identity;
    const service = chainService({ client, membership, store, views, encryptionKey, say: () => undefined });
    const calling = { signal: new AbortController().signal } as never;
    const ask = () => service.Contract({ id: contract }, calling);
    expect(await ask()).toMatchObject({ Found: false, State: 'deleted' });
    expect(await ask()).toMatchObject({ Found: true, State: 'created', ContractID: contract, NodeID: 1, TwinID: 1 });
  }, 60_000);
});
