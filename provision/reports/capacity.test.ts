import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../modules/zbus/broker.ts';
import { ZbusError } from '../../modules/zbus/errors.ts';
import type { DeploymentRecord } from '../store/journal.ts';
import { CAPACITY_LIMITS, CapacityReporter } from './capacity.ts';
import { ReportStore } from './store.ts';
import type { Used } from './use.ts';

let folder: string;
let store: ReportStore;
let stopping: AbortController;
let running: Promise<void>;
let reporter: CapacityReporter;
/** What the best block holds, and what final ones do. */
const best = new Map<bigint, Used>();
const final = new Map<bigint, Used>();
const deployments = new Map<string, DeploymentRecord>();
const calls: bigint[][] = [];
/** Contracts that no final block has yet. */
const coming = new Set<bigint>();
let refused: bigint | undefined;
let isAway = false;
let finalises = true;
/** Whether the chain goes away as soon as it was told. */
let goesAway = false;

/** A deployment of which one workload of so many vCPUs runs. */
function runs(contract: bigint, vcpus: number): void {
  const held = { name: 'vm', vcpus, memoryBytes: 0, publicIps: 0, allocations: [] };
  const record = { id: `7-${contract}`, twin: 7, contract, cancelled: undefined, workloads: [{ state: 'ok', held }] };
  deployments.set(record.id, record as unknown as DeploymentRecord);
}

function start(): void {
  stopping = new AbortController();
  reporter = new CapacityReporter({
    journal: { deployment: (id) => deployments.get(id), deployments: () => [...deployments.values()] },
    table: store.capacity,
    gateway: {
      SetContractConsumption: async ({ resources }) => {
        if (isAway) throw new ZbusError('deadline', 'the chain is away');
        calls.push(resources.map(({ ContractID }) => ContractID));
        if (resources.some(({ ContractID }) => ContractID === refused)) {
          throw new ZbusError('call_failed', 'the chain refused it', {
            remote: { code: 'chain_dispatch', details: {} },
          });
        }
        for (const { ContractID, Used } of resources) {
          best.set(ContractID, Used);
          if (finalises) final.set(ContractID, Used);
        }
        isAway = goesAway;
      },
    },
    chain: {
      Reported: async ({ ids }) => ({
        BlockNumber: 1,
        Contracts: (ids ?? [])
          .filter((id) => !coming.has(id))
          .map((id) => ({
            ContractID: id,
            NodeID: 11,
            TrafficUntil: 0n,
            Used: final.get(id) ?? { HRU: 0n, SRU: 0n, CRU: 0n, MRU: 0n },
          })),
      }),
    },
    log: silentLog,
    limits: {
      ...CAPACITY_LIMITS,
      gatherMs: 5,
      retryMs: [5, 20],
      confirmMs: 20,
      finalWithinMs: 60,
      deadRetryMs: 60_000,
    },
  });
  running = reporter.run(stopping.signal);
}

async function restart(): Promise<void> {
  stopping.abort();
  await running;
  store.close();
  ({ store } = ReportStore.open(join(folder, 'reports.sqlite')));
  start();
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'capacity-'));
  for (const one of [best, final, deployments, coming]) one.clear();
  calls.length = 0;
  [refused, isAway, finalises, goesAway] = [undefined, false, true, false];
  ({ store } = ReportStore.open(join(folder, 'reports.sqlite')));
  start();
});

afterEach(async () => {
  stopping.abort();
  await running;
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

const vcpus = (contract: bigint): number => Number(final.get(contract)?.CRU ?? 0);

describe('W29: what contracts use', () => {
  it('is told once, also over a restart, and again where it changed meanwhile', async () => {
    runs(1n, 2);
    reporter.changed({ id: '7-1' });
    await expect.poll(() => vcpus(1n)).toBe(2);
    await expect.poll(() => store.capacity.get('7-1')?.confirmed).toBe(true);
    await restart();
    await sleep(100);
    expect(calls).toHaveLength(1);
    stopping.abort();
    await running;
    runs(1n, 3);
    start();
    await expect.poll(() => vcpus(1n)).toBe(3);
  });

  it('is told although one of a hundred is refused, which is kept as a dead letter and not tried at once', async () => {
    refused = 37n;
    isAway = true;
    for (let contract = 1n; contract <= 100n; contract += 1n) {
      runs(contract, 1);
      reporter.changed({ id: `7-${contract}` });
    }
    await sleep(100);
    isAway = false;
    await expect.poll(() => final.size).toBe(99);
    await expect.poll(() => store.capacity.dead).toBe(1);
    expect(store.capacity.get('7-37')).toMatchObject({ refused: 'the chain refused it' });
    expect(reporter.numbers).toMatchObject({ dead: 1, told: 99 });
    const alone = (): number => calls.filter((batch) => batch.length === 1 && batch[0] === 37n).length;
    await restart();
    await sleep(100);
    expect(alone()).toBe(1);
  });

  it('is told again where final blocks do not hold it, and then is a dead letter', async () => {
    finalises = false;
    runs(1n, 2);
    reporter.changed({ id: '7-1' });
    await expect.poll(() => store.capacity.get('7-1')?.refused).toMatch(/^the chain took it 3 times and holds/);
    expect(calls).toHaveLength(3);
    await sleep(100);
    expect(calls).toHaveLength(3);
  });

  it('is no dead letter because it could not be told again for long', async () => {
    [finalises, goesAway] = [false, true];
    runs(1n, 2);
    reporter.changed({ id: '7-1' });
    await expect.poll(() => store.capacity.get('7-1')?.again).toBe(1);
    const { failed } = reporter.numbers;
    await expect.poll(() => reporter.numbers.failed).toBeGreaterThan(failed + 3);
    // Final blocks were looked at several times meanwhile.
    await sleep(200);
    expect(store.capacity.get('7-1')).toMatchObject({ value: '', again: 1, refused: '' });
    [isAway, finalises, goesAway] = [false, true, false];
    await expect.poll(() => store.capacity.get('7-1')?.confirmed).toBe(true);
    expect(vcpus(1n)).toBe(2);
  });

  it('of a deployment that is gone is asked for at the pace of dead letters, once it was refused', async () => {
    refused = 1n;
    runs(1n, 2);
    reporter.changed({ id: '7-1' });
    await expect.poll(() => store.capacity.dead).toBe(1);
    const { refusedAt } = store.capacity.get('7-1') ?? {};
    final.set(1n, { HRU: 0n, SRU: 0n, CRU: 5n, MRU: 0n });
    deployments.clear();
    // Longer than three looks.
    await sleep(300);
    expect(store.capacity.get('7-1')).toMatchObject({ refused: 'the chain refused it', refusedAt });
    final.delete(1n);
    await expect.poll(() => store.capacity.get('7-1')).toBeUndefined();
    expect(calls).toHaveLength(1);
  });

  it('of a contract that no final block has yet is neither confirmed nor told again for another’s', async () => {
    coming.add(1n);
    runs(1n, 2);
    runs(2n, 3);
    for (const id of ['7-1', '7-2']) reporter.changed({ id });
    await expect.poll(() => store.capacity.get('7-2')?.confirmed).toBe(true);
    // Longer than a final block has time to hold it.
    await sleep(100);
    expect(store.capacity.get('7-1')).toMatchObject({ confirmed: false, refused: '' });
    expect(calls.flat().toSorted()).toEqual([1n, 2n]);
    coming.delete(1n);
    await expect.poll(() => store.capacity.get('7-1')?.confirmed).toBe(true);
  });

  it('is nothing of a deployment that is gone while its contract lives', async () => {
    runs(1n, 2);
    reporter.changed({ id: '7-1' });
    await expect.poll(() => vcpus(1n)).toBe(2);
    deployments.clear();
    await expect.poll(() => vcpus(1n)).toBe(0);
    await expect.poll(() => store.capacity.get('7-1')).toBeUndefined();
  });
});

describe('the file of reports', () => {
  it('is put aside when it can not be read, and a new one counts from where counters stand', () => {
    const path = join(folder, 'other.sqlite');
    writeFileSync(path, 'this was a database once'.repeat(500));
    const { store: other, damaged } = ReportStore.open(path);
    expect(damaged?.path).toMatch(/other\.sqlite\.damaged-\d+$/);
    other.traffic.sample([{ workload: '7-1-vm', deployment: '7-1', bytes: 500, epoch: 'a' }], 10);
    other.traffic.sample([{ workload: '7-1-vm', deployment: '7-1', bytes: 520, epoch: 'a' }], 20);
    expect(other.traffic.sums().counted).toBe(20);
    other.close();
  });

  it('stays where it is when another program holds it or a newer one wrote it', () => {
    const path = join(folder, 'held.sqlite');
    ReportStore.open(path).store.close();
    const holder = new DatabaseSync(path);
    holder.exec('BEGIN IMMEDIATE');
    expect(() => ReportStore.open(path)).toThrow('locked');
    holder.exec("UPDATE facts SET value = 9 WHERE name = 'schema'; COMMIT");
    holder.close();
    expect(() => ReportStore.open(path)).toThrow('reports of schema 9, this program knows 1');
    expect(readdirSync(folder).filter((name) => name.startsWith('held.sqlite.damaged'))).toEqual([]);
  });
});
