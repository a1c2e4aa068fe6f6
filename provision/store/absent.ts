/** Why a deployment can not be told. */
import { GridError } from '../../schemas/errors/index.ts';
import { deploymentId, type Journal } from './journal.ts';

/** Damaged lines of the logs name deployments, too, which may have ended since. */
const TABLES_OF_RECORDS = new Set(['deployments', 'workloads', 'signed']);

/** `deployment_quarantined` where its record is set aside, else `deployment_not_found`. */
export function absent(journal: Journal, twin: number, contract: bigint): GridError {
  const id = deploymentId(twin, contract);
  const isSetAside = journal
    .quarantined()
    .some(({ table, deployment }) => deployment === id && TABLES_OF_RECORDS.has(table));
  const about = { twin, contract: contract.toString() };
  return new GridError(isSetAside ? 'deployment_quarantined' : 'deployment_not_found', about);
}
