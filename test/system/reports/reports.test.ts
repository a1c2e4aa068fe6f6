/** What a node tells the chain, with provisiond killed at its writes, and a chain that forks and goes away. */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vmd } from '../../../modules/vmd/interface.ts';
import { zero } from '../../../modules/zbus/codec.ts';
import { NetMetric } from '../../../modules/zbus/gridtypes.ts';
import type { ZbusServer } from '../../../modules/zbus/server.ts';
import { ReportStand, servePartly } from './stand.ts';

const PATIENCE = { timeout: 40_000 };
const PROVISIOND = 'test/system/reports/provisiond.ts';
const KILLS = ['sample', 'cut', 'begin', 'included', 'settle'].flatMap((write) => [
  `${write}:before`,
  `${write}:after`,
]);

let stand: ReportStand;
let machines: ZbusServer;
let contracts: bigint[];
/** Bytes of public traffic by machine. */
const counters = new Map<string, number>();
let sent = 0;

function traffic(bytes: number): void {
  for (const name of counters.keys()) {
    counters.set(name, (counters.get(name) ?? 0) + bytes);
    sent += bytes;
  }
}

/** What the chain counted, by its own rule: a report older than the newest is passed over. */
function told(): number {
  const newest = new Map<string, number>();
  let bytes = 0;
  for (const { data } of stand.eventsOf('NruConsumptionReportReceived')) {
    const report = data[0] as Record<'contractId' | 'timestamp' | 'nru', number | string>;
    const [id, at] = [String(report.contractId), Number(report.timestamp)];
    if (at < (newest.get(id) ?? 0)) continue;
    newest.set(id, at);
    bytes += Number(report.nru);
  }
  return bytes;
}

beforeAll(async () => {
  stand = await ReportStand.open();
  await stand.node.ensureTwin({ relay: 'relay.example' });
  const resources = { hru: 0n, sru: 1_000_000n, cru: 4n, mru: 8_000_000n };
  const nodeId = await stand.node.createNode({ farmId: stand.farmId, resources });
  contracts = [];
  for (const digit of ['1', '2']) {
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
}, 180_000);

afterAll(async () => {
  await machines?.stop();
  await stand?.close();
});

describe('W29: public traffic', () => {
  it('is told once, wherever provisiond is killed, whatever the chain does', { timeout: 240_000 }, async () => {
    for (const [index, kill] of KILLS.entries()) {
      traffic(1_000 + index);
      const child = await stand.start(PROVISIOND, [], '', { DIE_AT: kill });
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      expect([kill, code, signal]).toEqual([kill, null, 'SIGKILL']);
      traffic(10);
      if (index % 3 === 1) stand.running.chain.setFinality({ held: true });
      if (index % 3 === 2) {
        const { head, finalized } = stand.running.chain;
        if (head.number > finalized.number) stand.running.chain.reorg(head.number - finalized.number, 'dropped');
        stand.running.chain.setFinality({ held: false });
      }
    }
    stand.running.chain.setFinality({ held: false });
    const child = await stand.start(PROVISIOND, [], 'provision');
    traffic(500);
    await stand.chainAway(2_000);
    traffic(500);
    await expect.poll(told, PATIENCE).toBe(sent);
    // Nothing comes twice when there is time for it.
    traffic(1);
    await expect.poll(told, PATIENCE).toBe(sent);
    await stand.end(child);
  });
});
