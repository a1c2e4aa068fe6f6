/** The whole grid of a development chain as of its head: read once a block, and only when somebody asks. */
import { z } from 'zod';
import { type ContractValue, contracts as contractPallet } from '../description/contracts.ts';
import type { FarmValue, NodeValue } from '../description/grid-types.ts';
import { timestamp } from '../description/money.ts';
import { type StorageItem, storageKey, storagePrefix } from '../description/pallet.ts';
import { tfgrid } from '../description/tfgrid.ts';
import { decode, type ValueOf } from '../scale/codec.ts';
import { fromHex, toHex } from '../scale/hashing.ts';
import { JsonRpcLine } from './json-rpc.ts';

const PAGE = 1000;
/** Prefixes of pallet and item, then the hash that stands before the key itself. */
const KEY_STARTS_AT = 48;

type Reads<I> = I extends StorageItem<infer K, infer V> ? readonly [key: K[0], value: V] : never;

export type TwinValue = ValueOf<typeof tfgrid.storage.Twins.value>;
type PowerValue = ValueOf<typeof tfgrid.storage.NodePower.value>;
type ResourcesValue = NodeValue['resources'];
type PricingPolicy = ValueOf<typeof tfgrid.storage.PricingPolicies.value>;

export interface GridContract {
  readonly contract: ContractValue;
  /** Seconds since 1970: when this service saw it first, by its payment record then. A bill changes that record. */
  readonly createdAt: number;
  /** What the node reported of it; zeros before. */
  readonly used: ResourcesValue;
}

export interface Grid {
  readonly block: string;
  /** The chain's clock, milliseconds since 1970. */
  readonly nowMs: number;
  readonly farms: ReadonlyMap<number, FarmValue>;
  readonly payoutAddresses: ReadonlyMap<number, string>;
  readonly nodes: ReadonlyMap<number, NodeValue>;
  readonly power: ReadonlyMap<number, PowerValue>;
  /** Milli-USD a month, by node. */
  readonly extraFees: ReadonlyMap<number, bigint>;
  readonly twins: ReadonlyMap<number, TwinValue>;
  readonly policies: ReadonlyMap<number, PricingPolicy>;
  readonly contracts: readonly GridContract[];
  /** Rent contract of a node. */
  readonly rents: ReadonlyMap<number, ContractValue>;
}

const NOTHING: ResourcesValue = { hru: 0n, sru: 0n, cru: 0n, mru: 0n };
const Hex = z.string().regex(/^0x[0-9a-f]+$/);
const Changes = z.array(z.object({ changes: z.array(z.tuple([Hex, Hex.nullable()])) })).length(1);

export const text = (bytes: Uint8Array | null): string => (bytes === null ? '' : new TextDecoder().decode(bytes));

export class GridReader {
  readonly #line: JsonRpcLine;
  #known: Grid | undefined;
  #reading: Promise<Grid> | undefined;

  constructor(chainUrl: string) {
    this.#line = new JsonRpcLine(chainUrl);
  }

  /** The grid as of the newest block. Askers at one time share one reading. */
  grid(): Promise<Grid> {
    this.#reading ??= this.#newest().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  close(): Promise<void> {
    return this.#line.close();
  }

  async #newest(): Promise<Grid> {
    const block = await this.#line.call('chain_getBlockHash', [], Hex);
    if (this.#known?.block !== block) this.#known = await this.#read(block);
    return this.#known;
  }

  async #read(block: string): Promise<Grid> {
    const all = async <I extends StorageItem>(item: I): Promise<Reads<I>[]> =>
      (await this.#entries(item, block)) as Reads<I>[];
    const { storage } = tfgrid;
    const [now, farms, payout, nodes, power, fees, twins, policies, contracts, payments, used] = await Promise.all([
      this.#line.call('state_getStorage', [storageKey(timestamp.storage.Now, []), block], Hex),
      all(storage.Farms),
      all(storage.FarmPayoutV2AddressByFarmID),
      all(storage.Nodes),
      all(storage.NodePower),
      all(contractPallet.storage.DedicatedNodesExtraFee),
      all(storage.Twins),
      all(storage.PricingPolicies),
      all(contractPallet.storage.Contracts),
      all(contractPallet.storage.ContractPaymentState),
      all(contractPallet.storage.NodeContractResources),
    ]);
    const seen = new Map(this.#known?.contracts.map(({ contract, createdAt }) => [contract.contract_id, createdAt]));
    const began = new Map(payments.map(([id, { last_updated_seconds }]) => [id, Number(last_updated_seconds)]));
    const reported = new Map(used.map(([id, value]) => [id, value.used]));
    const live = contracts.map(([, contract]) => contract).sort((a, b) => Number(a.contract_id - b.contract_id));
    const rents = live.flatMap((contract) => {
      const type = contract.contract_type;
      return type.kind === 'RentContract' ? [[type.value[0].node_id, contract] as const] : [];
    });
    return {
      block,
      nowMs: Number(decode(timestamp.storage.Now.value, fromHex(now))),
      farms: new Map(farms),
      payoutAddresses: new Map(payout.map(([id, address]) => [id, text(address)])),
      nodes: new Map(nodes),
      power: new Map(power),
      extraFees: new Map(fees),
      twins: new Map(twins),
      policies: new Map(policies),
      contracts: live.map((contract) => ({
        contract,
        createdAt: seen.get(contract.contract_id) ?? began.get(contract.contract_id) ?? 0,
        used: reported.get(contract.contract_id) ?? NOTHING,
      })),
      rents: new Map(rents),
    };
  }

  /** Keys and values of a map, in the order of the keys. */
  async #entries(item: StorageItem, block: string): Promise<(readonly [unknown, unknown])[]> {
    const [key] = item.keys;
    if (key === undefined) throw new TypeError('only maps have entries');
    const prefix = toHex(storagePrefix(item));
    const found: (readonly [unknown, unknown])[] = [];
    for (let after: string | null = null; ; ) {
      const keys: string[] = await this.#line.call('state_getKeysPaged', [prefix, PAGE, after, block], z.array(Hex));
      if (keys.length === 0) break;
      const [answer] = await this.#line.call('state_queryStorageAt', [keys, block], Changes);
      for (const [at, value] of answer?.changes ?? []) {
        if (value === null) continue;
        found.push([decode(key, fromHex(at).subarray(KEY_STARTS_AT)), decode(item.value, fromHex(value))]);
      }
      after = keys.at(-1) ?? null;
      if (keys.length < PAGE) break;
    }
    return found.sort(([a], [b]) => Number(a as number | bigint) - Number(b as number | bigint));
  }
}
