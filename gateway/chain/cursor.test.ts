/** What the process that reads the chain keeps of it, over restarts, damage and other chains. */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Identity } from '../rmb/keys.ts';
import { type ChainBlock, ChainClient } from './client.ts';
import { type ContractEvent, ContractWatch } from './contract-watch.ts';
import { marksAfter } from './cursor.ts';
import { type RunningDevChain, startDevChain } from './dev/start.ts';
import { LastKnown } from './last-known.ts';
import { redirectLibraryLog } from './library-log.ts';
import { NodeMembership } from './membership.ts';
import { ChainStore, type Cursor, type Mark } from './store.ts';

const log = pino({ level: 'silent' });
const PATIENCE = { timeout: 20_000 };
redirectLibraryLog();

let folder: string;
let ends: Array<() => unknown>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cursor-'));
  ends = [];
});

afterEach(async () => {
  for (const end of ends.reverse()) await end();
  await rm(folder, { recursive: true, force: true });
});

function openStore(problems: string[] = []): ChainStore {
  const store = new ChainStore(join(folder, 'chain.sqlite'), (what) => problems.push(what));
  ends.push(() => store.close());
  return store;
}

const CURSOR: Cursor = { genesis: '0x11', number: 7, hash: '0x77', marks: [{ number: 7, hash: '0x77' }], nodeId: 3 };

describe('marks of a history', () => {
  it('are few, reach back to the first block, and have one at least half as far back as any block', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 300 }), (steps) => {
        let marks: Mark[] = [];
        let number = 0;
        for (const step of steps) {
          number += step;
          marks = marksAfter(marks, { number, hash: `${number}` });
        }
        const numbers = marks.map((mark) => mark.number);
        expect(numbers[0]).toBe(number);
        expect(numbers.at(-1)).toBe(steps[0]);
        expect(numbers).toEqual([...numbers].sort((one, other) => other - one));
        expect(numbers.length).toBeLessThan(40);
      }),
    );
  });
});

describe('the store', () => {
  it('keeps the cursor with the contracts of its block, for the node alone to read', async () => {
    const store = openStore();
    expect(store.cursor()).toBeUndefined();
    const contracts = new Map([[5n, { twinId: 2, hash: 'ab', inGrace: true }]]);
    store.keepCursor(CURSOR, contracts);
    store.keepView('twin/1', { id: 1, account: new Uint8Array([1, 2]), at: 3n }, 9);
    store.close();
    const path = join(folder, 'chain.sqlite');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const again = openStore();
    expect([again.cursor(), again.contracts()]).toEqual([CURSOR, contracts]);
    expect(again.view('twin/1')).toMatchObject({ value: { id: 1, account: new Uint8Array([1, 2]), at: 3n }, block: 9 });
    again.keepCursor({ ...CURSOR, number: 8 }, new Map([[6n, { twinId: 2, hash: 'cd', inGrace: false }]]));
    expect([...again.contracts().keys()]).toEqual([6n]);
    expect(again.belongTo('0x11')).toBe(true);
    expect(again.belongTo('0x11')).toBe(true);
    expect(again.belongTo('0x22')).toBe(false);
    expect([again.cursor(), again.contracts().size, again.view('twin/1')]).toEqual([undefined, 0, undefined]);
  });

  it('sets a damaged file aside and begins anew', async () => {
    const path = join(folder, 'chain.sqlite');
    await writeFile(path, randomBytes(9_000));
    const problems: string[] = [];
    const store = openStore(problems);
    expect(problems).toEqual(['open what is kept of the chain']);
    expect(store.cursor()).toBeUndefined();
    store.keepCursor(CURSOR);
    expect(store.cursor()).toEqual(CURSOR);
    expect((await stat(`${path}.damaged`)).size).toBe(9_000);
  });

  it('stops nobody where the disk takes nothing', async () => {
    const problems: string[] = [];
    await writeFile(join(folder, 'file'), '');
    const store = new ChainStore(join(folder, 'file', 'chain.sqlite'), (what) => problems.push(what));
    store.keepCursor(CURSOR);
    store.keepView('twin/1', 1, 1);
    expect(store.view('twin/1')?.value).toBe(1);
    store.close();
    expect(problems.length).toBeGreaterThan(0);
  });
});

describe('contracts of a node', () => {
  let living: RunningDevChain;
  let home: string;
  let node: ChainClient;
  let user: ChainClient;
  let nodeId: number;
  const clients: ChainClient[] = [];

  async function connect(identity: Identity, endpoints = [living.url]): Promise<ChainClient> {
    const client = await ChainClient.connect({ endpoints, identity, deadlineMs: 30_000 });
    clients.push(client);
    return client;
  }

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'cursor-chain-'));
    const timing = { idleBlockMs: 500, finalityMs: 500 };
    living = await startDevChain({ host: '127.0.0.1', port: 0, log, timing, faults: true, state: home });
    const someone = (): Promise<Identity> => Identity.fromSecret(randomBytes(32).toString('hex'), 'sr25519');
    [node, user] = [await connect(await someone()), await connect(await someone())];
    for (const client of [node, user]) {
      await client.endow();
      await client.ensureTwin({ relay: 'relay.example' });
    }
    const farmId = await user.createFarm(`farm${randomBytes(4).toString('hex')}`);
    nodeId = await node.createNode({ farmId, resources: { hru: 1n, sru: 1n, cru: 1n, mru: 1n } });
  }, 60_000);

  afterAll(async () => {
    for (const client of clients) await client.close();
    await living?.stop();
    await rm(home, { recursive: true, force: true });
  });

  interface Watching {
    readonly told: string[];
    readonly said: string[];
    readonly blocks: number[];
    stop(): Promise<void>;
  }

  /** What a process with this store tells. */
  function watch(store: ChainStore, client = node): Watching {
    const end = new AbortController();
    const [told, said, blocks]: [string[], string[], number[]] = [[], [], []];
    const membership = new NodeMembership(client, node.publicKey);
    const contracts = new ContractWatch({ client, membership, store, say: (_level, text) => said.push(text) });
    const running = (async () => {
      for await (const event of contracts.events(end.signal)) {
        const { Kind, ContractID, BlockNumber }: ContractEvent = event;
        blocks.push(BlockNumber);
        if (Kind !== 'alive') told.push(`${Kind} ${ContractID}`);
      }
    })();
    const stop = async (): Promise<void> => {
      end.abort();
      await running;
    };
    ends.push(stop);
    return { told, said, blocks, stop };
  }

  const hash = (): string => randomBytes(16).toString('hex');

  it('are told on from the last block after a restart, in order and without what was told before', async () => {
    const store = openStore();
    const first = watch(store);
    const kept = await user.createNodeContract({ nodeId, hash: hash() });
    await expect.poll(() => first.told, PATIENCE).toContain(`created ${kept}`);
    await first.stop();
    const cursor = store.cursor();
    expect(cursor).toMatchObject({ nodeId, number: first.blocks.at(-1) });
    // While nobody listens.
    const short = await user.createNodeContract({ nodeId, hash: hash() });
    await user.cancelContract(short);
    await user.cancelContract(kept);
    const second = watch(store);
    const wanted = [`created ${short}`, `cancelled ${short}`, `cancelled ${kept}`];
    await expect.poll(() => second.told, PATIENCE).toEqual(wanted);
    expect(second.blocks[0]).toBe((cursor?.number ?? 0) + 1);
    const unique = [...new Set(second.blocks)];
    expect(unique).toEqual(unique.map((_, index) => (unique[0] ?? 0) + index));
    expect(second.said).toEqual([`contracts are told from block ${(cursor?.number ?? 0) + 1} on`]);
  }, 60_000);

  it.each<[string, (cursor: Cursor) => Cursor, RegExp]>([
    ['of another chain', (cursor) => ({ ...cursor, genesis: `0x${'11'.repeat(32)}` }), /genesis/],
    ['of another history', (cursor) => ({ ...cursor, hash: `0x${'22'.repeat(32)}` }), /what is kept goes up to/],
    [
      'from a future without a past',
      (cursor) => ({ ...cursor, number: cursor.number + 1_000_000, marks: [] }),
      /the chain ends at block/,
    ],
    [
      'from the future of another history',
      (cursor) => ({ ...cursor, number: cursor.number + 1_000_000, marks: [{ number: 1, hash: '0x33' }] }),
      /block 1 is/,
    ],
  ])(
    'are compared anew with a cursor %s',
    async (_, broken, reason) => {
      const store = openStore();
      const first = watch(store);
      const id = await user.createNodeContract({ nodeId, hash: hash() });
      await expect.poll(() => first.told, PATIENCE).toContain(`created ${id}`);
      await first.stop();
      store.keepCursor(broken(store.cursor() as Cursor));
      const second = watch(store);
      await expect.poll(() => second.told, PATIENCE).toContain(`created ${id}`);
      expect(second.said[0]).toMatch(/does not hold, beginning anew/);
      expect(second.said[0]).toMatch(reason);
      await user.cancelContract(id);
      await expect.poll(() => second.told, PATIENCE).toContain(`cancelled ${id}`);
      await expect.poll(() => store.cursor()?.genesis, PATIENCE).toMatch(/^0x(?!1111)/);
    },
    60_000,
  );

  it('wait for an endpoint that has not come so far yet', async () => {
    const store = openStore();
    const first = watch(store);
    await expect.poll(() => first.blocks.length, PATIENCE).toBeGreaterThan(2);
    await first.stop();
    const cursor = store.cursor() as Cursor;
    store.keepCursor({ ...cursor, number: cursor.number + 6, hash: '0x55' });
    const second = watch(store);
    await expect.poll(() => second.said[0], PATIENCE).toMatch(/waiting for block/);
    await expect.poll(() => second.blocks[0], PATIENCE).toBe(cursor.number + 7);
    // It was no block of this chain after all.
    expect(second.said.join()).toMatch(/contracts are compared/);
  }, 60_000);

  it('are read from another endpoint where the first lost the states in between; without one there is a gap', async () => {
    const store = openStore();
    const first = watch(store);
    await expect.poll(() => first.blocks.length, PATIENCE).toBeGreaterThan(2);
    await first.stop();
    const from = store.cursor() as Cursor;
    const ids = [
      await user.createNodeContract({ nodeId, hash: hash() }),
      await user.createNodeContract({ nodeId, hash: hash() }),
    ];
    ends.push(() => living.chain.setPaused(false));
    living.chain.setPaused(true);
    living.chain.finalize(living.chain.head.number);
    const place = join(folder, 'pruned');
    // The file has the chain's newest transactions a moment later.
    const head = `"hash":"${living.chain.head.hash}"`;
    await expect.poll(() => readFile(join(home, 'chain.json'), 'utf8'), PATIENCE).toContain(head);
    await cp(home, place, { recursive: true });
    const timing = { idleBlockMs: 3_600_000, finalityMs: 500 };
    const pruned = await startDevChain({ host: '127.0.0.1', port: 0, log, timing, faults: true, state: place });
    ends.push(() => pruned.stop());
    pruned.chain.finalize(pruned.chain.head.number);
    const newest = Math.min(living.chain.finalized.number, pruned.chain.finalized.number);
    const read = async (endpoints: string[]): Promise<ChainBlock[]> => {
      const client = await ChainClient.connect({ endpoints, deadlineMs: 30_000 });
      const [end, blocks] = [new AbortController(), [] as ChainBlock[]];
      const running = (async () => {
        for await (const block of client.blocks('final', end.signal, from)) blocks.push(block);
      })();
      try {
        await expect.poll(() => blocks.at(-1)?.number ?? 0, PATIENCE).toBeGreaterThanOrEqual(newest);
        return blocks;
      } finally {
        end.abort();
        await running;
        await client.close();
      }
    };
    const both = await read([pruned.url, living.url]);
    expect(both[0]).toMatchObject({ number: from.number + 1, gap: false });
    expect(both.some(({ gap }) => gap)).toBe(false);
    const alone = await read([pruned.url]);
    expect(alone[0]?.gap).toBe(true);
    expect(alone[0]?.number).toBeGreaterThan(from.number + 1);
    living.chain.setPaused(false);
    for (const id of ids) await user.cancelContract(id);
  }, 60_000);

  it('membership ends with an event of its node or farm, and with time', async () => {
    const membership = new NodeMembership(node, node.publicKey, 100);
    const found = await membership.find();
    expect(await membership.find()).toBe(found);
    const touched = (name: string, data: unknown): boolean =>
      membership.isTouchedBy({ pallet: 'tfgridModule', name, data: [data] });
    expect(touched('NodeUpdated', { id: nodeId })).toBe(true);
    expect(touched('NodeUpdated', { id: nodeId + 1 })).toBe(false);
    expect(touched('FarmDeleted', found.farmId)).toBe(true);
    expect(touched('FarmUpdated', { id: found.farmId + 1 })).toBe(false);
    membership.forget();
    const again = await membership.find();
    expect(again).not.toBe(found);
    await expect.poll(() => membership.find(), PATIENCE).not.toBe(again);
  }, 60_000);

  it('and other answers are told with their age while the chain is away, never that something is not there', async () => {
    const store = openStore();
    const client = await ChainClient.connect({ endpoints: [living.url], deadlineMs: 30_000 });
    const views = new LastKnown(store, client.connection, { mostAgeMs: 60_000, patienceMs: 100 });
    const ask = (id: number, deadlineMs = 8_000) =>
      views.ask(`twin/${id}`, { deadlineMs }, (within) => client.twinAt(id, within));
    expect(await ask(1)).toMatchObject({ value: { id: 1 }, ageSeconds: 0 });
    expect(await ask(4711)).toMatchObject({ value: undefined, ageSeconds: 0 });
    await client.close();
    const kept = await ask(1);
    expect(kept).toMatchObject({ value: { id: 1 }, block: expect.any(Number) });
    expect(kept.ageSeconds).toBeGreaterThan(0);
    await expect(ask(4711, 500)).rejects.toMatchObject({ code: 'chain_lost' });
    const strict = new LastKnown(store, client.connection, { mostAgeMs: 1, patienceMs: 100 });
    await expect(strict.ask('twin/1', { deadlineMs: 300 }, (within) => client.twinAt(1, within))).rejects.toMatchObject(
      { code: 'chain_lost' },
    );
  }, 60_000);
});
