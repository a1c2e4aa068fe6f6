/** provisiond and chaind as processes, and a chain that refuses what is reported of one contract, or is away. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vmd } from '../../../modules/vmd/interface.ts';
import { zero } from '../../../modules/zbus/codec.ts';
import { NetMetric } from '../../../modules/zbus/gridtypes.ts';
import type { ZbusServer } from '../../../modules/zbus/server.ts';
import { ReportStand, servePartly } from '../../system/reports/stand.ts';

const PATIENCE = { timeout: 60_000 };
const BYTES = 1_000;

let stand: ReportStand;
let machines: ZbusServer;
const contracts: bigint[] = [];
/** Bytes of public traffic by machine. */
const counters = new Map<string, number>();

function traffic(): void {
  for (const [name, bytes] of counters) counters.set(name, bytes + BYTES);
}

/** What final blocks counted of a contract: bytes of reports that were not passed over, each once. */
function told(contract: bigint): number {
  let [newest, bytes] = [0, 0];
  for (const { data } of stand.eventsOf('NruConsumptionReportReceived')) {
    const report = data[0] as Record<'contractId' | 'timestamp' | 'nru', number | string>;
    if (BigInt(report.contractId) !== contract || Number(report.timestamp) < newest) continue;
    newest = Number(report.timestamp);
    bytes += Number(report.nru);
  }
  return bytes;
}

const allTold = (): number[] => contracts.map(told);

/** Of the file of reports, in bytes. */
function sums(): Record<'counted' | 'told' | 'open' | 'pending' | 'dead', number> {
  const database = new DatabaseSync(join(stand.state, 'provisiond/reports.sqlite'), { readOnly: true });
  const sum = (sql: string): number => Number(database.prepare(`SELECT coalesce((${sql}), 0) AS n`).get()?.n);
  try {
    return {
      counted: sum("SELECT value FROM facts WHERE name = 'counted'"),
      told: sum("SELECT value FROM facts WHERE name = 'told'"),
      open: sum('SELECT sum(bytes) FROM windows'),
      pending: sum("SELECT sum(bytes) FROM reports WHERE state <> 'dead'"),
      dead: sum("SELECT sum(bytes) FROM reports WHERE state = 'dead'"),
    };
  } finally {
    database.close();
  }
}

beforeAll(async () => {
  stand = await ReportStand.open();
  await stand.node.ensureTwin({ relay: 'relay.example' });
  const nodeId = await stand.node.createNode({
    farmId: stand.farmId,
    resources: { hru: 0n, sru: 1_000_000n, cru: 4n, mru: 8_000_000n },
  });
  for (const digit of ['1', '2', '3', '4', '5']) {
    contracts.push(await stand.farmer.createNodeContract({ nodeId, hash: digit.repeat(32) }));
  }
  for (const contract of contracts) counters.set(`7-${contract}-vm`, 0);
  const Metrics = () =>
    new Map(
      [...counters].map(([name, NetTxBytes]) => [
        name,
        { Private: zero(NetMetric), Public: { ...zero(NetMetric), NetTxBytes } },
      ]),
    );
  machines = await servePartly(stand.redis.broker, vmd, { Metrics });
}, 120_000);

afterAll(async () => {
  await machines?.stop();
  await stand?.close();
});

describe('W29: reports of traffic', () => {
  it('are told although those of one contract are refused, with the call they are in; that one is a dead letter', {
    timeout: 180_000,
  }, async () => {
    const refused = contracts[2] as bigint;
    stand.running.chain.setBilling({ refusedReports: [Number(refused)] });
    const child = await stand.start('test/system/reports/provisiond.ts', [], 'provision');
    traffic();
    const wanted = contracts.map((contract) => (contract === refused ? 0 : BYTES));
    await expect.poll(allTold, PATIENCE).toEqual(wanted);
    const settled = { counted: 5 * BYTES, told: 4 * BYTES, open: 0, pending: 0, dead: BYTES };
    await expect.poll(sums, PATIENCE).toEqual(settled);
    await stand.end(child);
    expect(allTold()).toEqual(wanted);
  });

  it('of the time when the chain was away are told once, when it is back', { timeout: 180_000 }, async () => {
    stand.running.chain.setBilling({ refusedReports: [] });
    const before = allTold();
    const child = await stand.start('test/system/reports/provisiond.ts', [], 'provision');
    const away = stand.chainAway(6_000);
    // Windows of a second end meanwhile, one after the other.
    for (let windows = 0; windows < 4; windows += 1) {
      traffic();
      await sleep(1_200);
    }
    await away;
    const wanted = before.map((bytes) => bytes + 4 * BYTES);
    await expect.poll(allTold, PATIENCE).toEqual(wanted);
    const settled = { counted: 25 * BYTES, told: 24 * BYTES, open: 0, pending: 0, dead: BYTES };
    await expect.poll(sums, PATIENCE).toEqual(settled);
    await stand.end(child);
    expect(allTold()).toEqual(wanted);
  });
});
