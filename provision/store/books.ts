/** What is counted of the journal's records, kept with each change instead of counted at each question. */
import { growthOf } from '../plan/capacity.ts';
import { Ledger, type LedgerLine } from '../plan/ledger.ts';
import { Census } from './census.ts';
import type { DeploymentId, DeploymentRecord, WorkloadRecord } from './journal.ts';

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

/** What a workload holds; what a pending change adds counts beside it. */
function linesOf({ held, next, state, removal }: WorkloadRecord): LedgerLine[] {
  if (held === undefined) return [];
  const isLeaving = removal !== undefined || state === 'error' || state === 'deleted';
  const line = { holds: held, stands: state !== 'init' && !isLeaving, isLeaving };
  if (next === undefined) return [line];
  return [line, { holds: growthOf(held, next.held), stands: false, isLeaving }];
}
