/** What is counted of the journal's records, kept with each change instead of counted at each question. */
import { Ledger, type LedgerLine } from '../plan/ledger.ts';
import { Census } from './census.ts';
import { type DeploymentId, type DeploymentRecord, holdingsOf, type WorkloadRecord } from './journal.ts';

export class Books {
  readonly ledger = new Ledger();
  readonly census = new Census();

  /** The record of that id came, became this one, or went. */
  replace(id: DeploymentId, record: DeploymentRecord | undefined): void {
    this.census.replace(id, record);
    if (record === undefined) {
      this.ledger.replace(id, undefined);
      return;
    }
    const { twin, contract, workloads } = record;
    this.ledger.replace(id, { twin, contract, lines: workloads.flatMap(linesOf) });
  }
}

/** What a workload holds; what pending changes add counts beside it. */
function linesOf(workload: WorkloadRecord): LedgerLine[] {
  const { state, removal } = workload;
  const isLeaving = removal !== undefined || state === 'error' || state === 'deleted';
  return holdingsOf(workload).map((holds, index) => {
    return { holds, stands: index === 0 && state !== 'init' && !isLeaving, isLeaving };
  });
}
