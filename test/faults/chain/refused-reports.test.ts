/** provisiond and chaind as processes, and a chain that is late, refuses what is reported of one contract, or is away. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MeteredContracts } from '../../system/reports/metered-contracts.ts';
import { ReportStand } from '../../system/reports/stand.ts';

const PATIENCE = { timeout: 60_000 };
const BYTES = 1_000;
const PROVISIOND = 'test/system/reports/provisiond.ts';

let stand: ReportStand;
let contracts: MeteredContracts;

const allTold = (): number[] => contracts.ids.map((id) => contracts.told(id));

type Sums = Record<'counted' | 'told' | 'open' | 'pending' | 'dead' | 'void', number>;

/** Of the file of reports, in bytes. */
function sums(): Sums {
  const path = join(stand.state, 'provisiond/reports.sqlite');
  if (!existsSync(path)) return { counted: 0, told: 0, open: 0, pending: 0, dead: 0, void: 0 };
  const database = new DatabaseSync(path, { readOnly: true });
  const sum = (sql: string): number => Number(database.prepare(`SELECT coalesce((${sql}), 0) AS n`).get()?.n);
  try {
    return {
      counted: sum("SELECT value FROM facts WHERE name = 'counted'"),
      told: sum("SELECT value FROM facts WHERE name = 'told'"),
      void: sum("SELECT value FROM facts WHERE name = 'void'"),
      open: sum('SELECT sum(bytes) FROM windows'),
      pending: sum("SELECT sum(bytes) FROM reports WHERE state <> 'dead'"),
      dead: sum("SELECT sum(bytes) FROM reports WHERE state = 'dead'"),
    };
  } finally {
    database.close();
  }
}

// What one attempt leaves pending would be told in the next one.
beforeEach(async () => {
  stand = await ReportStand.open();
  stand.running.chain.setFinality({ held: true });
  contracts = await MeteredContracts.make(stand, 5);
}, 120_000);

afterEach(async () => {
  await contracts?.close();
  await stand?.close();
});

describe('W29: reports of traffic', () => {
  it('of contracts that no final block has yet are told once when one has them', { timeout: 180_000 }, async () => {
    const [toldBefore, before] = [allTold(), sums()];
    const child = await stand.start(PROVISIOND, [], 'provision');
    contracts.traffic(BYTES);
    await expect.poll(sums, PATIENCE).toMatchObject({ pending: before.pending + 5 * BYTES });
    // Each is asked for once at least, and waits.
    await sleep(500);
    expect(sums().void).toBe(0);
    stand.running.chain.setFinality({ held: false });
    const wanted = toldBefore.map((bytes) => bytes + BYTES);
    await expect.poll(allTold, PATIENCE).toEqual(wanted);
    await expect.poll(sums, PATIENCE).toMatchObject({ told: before.told + 5 * BYTES, pending: 0, void: 0 });
    await stand.end(child);
    expect(allTold()).toEqual(wanted);
  });

  it('are told although those of one contract are refused, with the call they are in; that one is a dead letter', {
    timeout: 180_000,
  }, async () => {
    stand.running.chain.setFinality({ held: false });
    const refused = contracts.ids[2] as bigint;
    const [toldBefore, before] = [allTold(), sums()];
    stand.running.chain.setBilling({ refusedReports: [Number(refused)] });
    const child = await stand.start(PROVISIOND, [], 'provision');
    contracts.traffic(BYTES);
    const wanted = contracts.ids.map((id, index) => (toldBefore[index] ?? 0) + (id === refused ? 0 : BYTES));
    await expect.poll(allTold, PATIENCE).toEqual(wanted);
    const told = before.told + 4 * BYTES;
    const settled = {
      counted: before.counted + 5 * BYTES,
      told,
      open: 0,
      pending: 0,
      dead: before.dead + BYTES,
      void: 0,
    };
    await expect.poll(sums, PATIENCE).toEqual(settled);
    await stand.end(child);
    expect(allTold()).toEqual(wanted);
  });

  it('of the time when the chain was away are told once, when it is back', { timeout: 180_000 }, async () => {
    stand.running.chain.setFinality({ held: false });
    const [toldBefore, before] = [allTold(), sums()];
    const child = await stand.start(PROVISIOND, [], 'provision');
    const away = stand.chainAway(6_000);
    // Windows of a second end meanwhile, one after the other.
    for (let windows = 0; windows < 4; windows += 1) {
      contracts.traffic(BYTES);
      await sleep(1_200);
    }
    await away;
    const wanted = toldBefore.map((bytes) => bytes + 4 * BYTES);
    await expect.poll(allTold, PATIENCE).toEqual(wanted);
    const bytes = 20 * BYTES;
    const settled = { ...before, counted: before.counted + bytes, told: before.told + bytes, open: 0, pending: 0 };
    await expect.poll(sums, PATIENCE).toEqual(settled);
    await stand.end(child);
    expect(allTold()).toEqual(wanted);
  });
});
