/** A contract as the node may act on it: it is gone only where a final block says so. */
import type { BlockReads } from './connection.ts';
import type { CallLimits } from './failures.ts';
import type { ChainReader, ContractAt } from './reader.ts';

export interface SettledContract extends ContractAt {
  /** Gone in the best block, but not in a final one: it may come back. */
  readonly isEnding: boolean;
  /** Its id was given away, and it is not there: no later block brings it. */
  readonly isOver: boolean;
}

const isThere = ({ contract }: ContractAt): boolean => contract !== null && contract.state.kind !== 'deleted';

/** @throws GridError `chain_behind` when an endpoint that lags misses the contract */
export async function settledContract(
  reader: ChainReader<BlockReads>,
  id: bigint,
  limits: CallLimits = {},
): Promise<SettledContract> {
  const best = await reader.contractAt(id, limits);
  if (isThere(best)) return { ...best, isEnding: false, isOver: false };
  const hash = await reader.connection.blockHash('final', limits);
  const final = await reader.contractAt(id, limits, hash);
  reader.connection.requireFinal(final.block);
  const isOver = final.contract === null && id > 0n && id <= (await reader.newestContract(limits, hash));
  return { ...final, isEnding: isThere(final), isOver };
}
