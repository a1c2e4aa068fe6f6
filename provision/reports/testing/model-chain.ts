/**
 * What of the chain matters to reports of traffic, with blocks that are made and replaced by hand: the rule by
 * which the chain counts a report, transactions with a life, a pool, forks above the final block.
 */
import {
  type NruConsumption,
  type ReportedContract,
  TRAFFIC_LIFE_BLOCKS,
} from '../../../modules/api-gateway/interface.ts';
import { ZbusError } from '../../../modules/zbus/errors.ts';
import type { Infer } from '../../../modules/zbus/wire.ts';

type Consumption = Infer<typeof NruConsumption>;

interface Sent {
  readonly birth: number;
  readonly consumptions: readonly Consumption[];
}

/** How the next transaction fares: `lost` is sent without an answer, `never` is not sent at all. */
export type Fare = 'answered' | 'lost' | 'never';

const MADE_AT = 1_000n;

export class ModelChain {
  /** Transactions of each block, from block 1 on. */
  #blocks: Sent[][] = [];
  #pool: Sent[] = [];
  #final = 0;
  readonly contracts = new Set<bigint>();
  /** Contracts that no final block has yet. */
  readonly coming = new Set<bigint>();
  /** Contracts whose reports are refused, with the whole transaction. */
  readonly refused = new Set<bigint>();
  /** Contracts whose reports are taken and not counted. */
  readonly ignored = new Set<bigint>();
  /** Contracts with whose reports nothing is sent, for a reason that nobody tells. */
  readonly unsendable = new Set<bigint>();
  fare: () => Fare = () => 'answered';
  away = false;
  sent = 0;

  /** Makes a block, with what is in the pool or without. */
  seal(takes: boolean): void {
    const number = this.#blocks.length + 1;
    const alive = this.#pool.filter(({ birth }) => number < birth + TRAFFIC_LIFE_BLOCKS);
    const taken = takes ? alive.filter((one) => !this.#isRefused(one)) : [];
    this.#blocks.push(taken);
    this.#pool = takes ? [] : alive;
  }

  finalize(number = this.#blocks.length): void {
    this.#final = Math.max(this.#final, Math.min(number, this.#blocks.length));
  }

  /** Replaces what is not final; its transactions go back to the pool, or nowhere. */
  reorg(keeps: boolean): void {
    const gone = this.#blocks.splice(this.#final).flat();
    if (keeps) this.#pool.push(...gone);
    this.seal(false);
  }

  /** As of the newest final block: timestamp of the newest report, and all bytes that were counted. */
  counted(contract: bigint): { readonly until: bigint; readonly bytes: bigint } {
    let [until, bytes] = [MADE_AT, 0n];
    for (const { ContractID, Timestamp, NRU } of this.#blocks
      .slice(0, this.#final)
      .flat()
      .flatMap((one) => one.consumptions)) {
      if (ContractID !== contract || Timestamp < until || this.ignored.has(contract)) continue;
      until = Timestamp;
      bytes += NRU;
    }
    return { until, bytes };
  }

  readonly client = {
    Reported: async ({ ids }: { readonly ids: readonly bigint[] | null }) => {
      if (this.away) throw new ZbusError('no_such_module', 'the chain is away');
      const known = (ids ?? []).filter((id) => !this.coming.has(id));
      const Contracts = known.map((id): Infer<typeof ReportedContract> => {
        const NodeID = this.contracts.has(id) ? 11 : 0;
        return { ContractID: id, NodeID, TrafficUntil: this.counted(id).until, Used: NO_USE };
      });
      return { BlockNumber: this.#final, Contracts };
    },
    ReportTraffic: async (args: { readonly consumptions: readonly Consumption[] | null; readonly birth: number }) => {
      if (this.away) throw new ZbusError('no_such_module', 'the chain is away');
      const one = { birth: args.birth, consumptions: args.consumptions ?? [] };
      this.sent += 1;
      if (one.consumptions.some(({ ContractID }) => this.unsendable.has(ContractID))) {
        throw new ZbusError('call_failed', 'it went wrong');
      }
      const fare = this.fare();
      if (fare !== 'never' && this.#blocks.length + 1 < one.birth + TRAFFIC_LIFE_BLOCKS) this.#pool.push(one);
      if (fare !== 'answered') throw new ZbusError('bus_lost', 'the connection was lost');
      this.seal(true);
      this.finalize();
      if (!this.#isRefused(one)) return;
      const remote = { code: 'chain_dispatch', details: {} };
      throw new ZbusError('call_failed', 'the chain refused it', { remote });
    },
  };

  #isRefused({ consumptions }: Sent): boolean {
    return consumptions.some(({ ContractID }) => this.refused.has(ContractID));
  }
}

const NO_USE = { HRU: 0n, SRU: 0n, CRU: 0n, MRU: 0n };
