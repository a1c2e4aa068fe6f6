/** What the node told of its contracts, and what became of it: read as of the newest final block. */
import type { ReportedContract } from '../../modules/api-gateway/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import type { ChainClient } from './client.ts';
import { read } from './connection.ts';
import type { CallLimits } from './failures.ts';
import { records } from './records.ts';

const CONTRACTS = 'smartContractModule';

export interface Reported {
  /** The final block that all of it is read of. */
  readonly block: number;
  /** Without those that came after the block: of them nothing is known, and nothing is over. */
  readonly contracts: ReadonlyArray<Infer<typeof ReportedContract>>;
}

/** @throws GridError `chain_behind` where the endpoint's final block is older than one seen before */
export async function readReported(client: ChainClient, ids: readonly bigint[], limits: CallLimits): Promise<Reported> {
  const { connection } = client;
  const hash = await connection.blockHash('final', limits);
  const [block] = await connection.read([read('system', 'number', [], records.id)], limits, hash);
  connection.requireFinal(block);
  if (ids.length === 0) return { block, contracts: [] };
  const [newest, found, bills, used] = await Promise.all([
    client.newestContract(limits, hash),
    client.contractsAt(ids, limits, hash),
    connection.read(
      ids.map((id) => read(CONTRACTS, 'contractBillingInformationByID', [id], records.trafficBill)),
      limits,
      hash,
    ),
    connection.read(
      ids.map((id) => read(CONTRACTS, 'nodeContractResources', [id], records.usedResources)),
      limits,
      hash,
    ),
  ]);
  const contracts = ids.map((id, index) => {
    const type = found[index]?.contractType;
    const { hru = 0n, sru = 0n, cru = 0n, mru = 0n } = used[index]?.used ?? {};
    return {
      ContractID: id,
      NodeID: type?.kind === 'node' ? type.nodeId : 0,
      TrafficUntil: bills[index]?.lastUpdated ?? 0n,
      Used: { HRU: hru, SRU: sru, CRU: cru, MRU: mru },
    };
  });
  return { block, contracts: contracts.filter(({ ContractID }) => ContractID <= newest) };
}

export interface TrafficReport {
  readonly contractId: bigint;
  /** Seconds since 1970; the chain passes over a report that is older than the newest it has of the contract. */
  readonly timestamp: bigint;
  /** Seconds. */
  readonly window: bigint;
  /** Bytes. */
  readonly nru: bigint;
}

/**
 * Sends reports in one transaction that is void `LIFE_BLOCKS` blocks after `birth`, a final block. Returns
 * when a final block has it. @throws GridError `chain_dispatch` where a final block refused all of it; after
 * any other error it may be on the chain, or come there before it is void
 */
export async function reportTraffic(
  client: ChainClient,
  reports: readonly TrafficReport[],
  birth: number,
  limits: CallLimits,
): Promise<void> {
  const hash = await client.connection.ask('a final block', limits, (api) => api.rpc.chain.getBlockHash(birth));
  const call = { pallet: CONTRACTS, method: 'addNruReports', args: [reports] };
  await client.submit(call, limits, { birth: { number: birth, hash: hash.toHex() }, until: 'final' });
}
