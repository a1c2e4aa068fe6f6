/** Contracts of a node whose machines send what a test says, and what final blocks counted of them. */
import { vmd } from '../../../modules/vmd/interface.ts';
import { zero } from '../../../modules/zbus/codec.ts';
import { NetMetric } from '../../../modules/zbus/gridtypes.ts';
import type { ZbusServer } from '../../../modules/zbus/server.ts';
import { type ReportStand, servePartly } from './stand.ts';

const RESOURCES = { hru: 0n, sru: 1_000_000n, cru: 4n, mru: 8_000_000n };

export class MeteredContracts {
  readonly ids: readonly bigint[];
  readonly #stand: ReportStand;
  /** Bytes of public traffic by machine. */
  readonly #counters: Map<string, number>;
  readonly #machines: ZbusServer;
  /** Bytes that all machines sent together. */
  sent = 0;

  private constructor(stand: ReportStand, ids: readonly bigint[], counters: Map<string, number>, machines: ZbusServer) {
    this.ids = ids;
    this.#stand = stand;
    this.#counters = counters;
    this.#machines = machines;
  }

  /** Registers the node and makes contracts; the newest may not be final yet. */
  static async make(stand: ReportStand, count: number): Promise<MeteredContracts> {
    await stand.node.ensureTwin({ relay: 'relay.example' });
    const nodeId = await stand.node.createNode({ farmId: stand.farmId, resources: RESOURCES });
    const ids: bigint[] = [];
    while (ids.length < count) {
      ids.push(await stand.farmer.createNodeContract({ nodeId, hash: `${ids.length + 1}`.repeat(32) }));
    }
    const counters = new Map(ids.map((id) => [`7-${id}-vm`, 0]));
    const Metrics = () =>
      new Map(
        [...counters].map(([name, NetTxBytes]) => [
          name,
          { Private: zero(NetMetric), Public: { ...zero(NetMetric), NetTxBytes } },
        ]),
      );
    return new MeteredContracts(stand, ids, counters, await servePartly(stand.redis.broker, vmd, { Metrics }));
  }

  /** Each machine sends so many bytes. */
  traffic(bytes: number): void {
    for (const [name, before] of this.#counters) this.#counters.set(name, before + bytes);
    this.sent += bytes * this.ids.length;
  }

  /** What final blocks counted of a contract: a report older than the newest is passed over. */
  told(contract: bigint): number {
    let [newest, bytes] = [0, 0];
    for (const { data } of this.#stand.eventsOf('NruConsumptionReportReceived')) {
      const report = data[0] as Record<'contractId' | 'timestamp' | 'nru', number | string>;
      if (BigInt(report.contractId) !== contract || Number(report.timestamp) < newest) continue;
      newest = Number(report.timestamp);
      bytes += Number(report.nru);
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#machines.stop();
  }
}
