/** The operations of the journal in memory. */
import type { DeploymentId, DeploymentRecord } from './journal.ts';
import {
  type AskedOperation,
  askedOperation,
  isEnded,
  OPERATION_LIMIT,
  type OperationEnd,
  type OperationRecord,
  SUPERSEDED_BY,
} from './operations.ts';

export class MemoryOperations {
  readonly #now: () => number;
  #all: OperationRecord[] = [];
  #count = 0;

  /** `now` gives milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  all(): readonly OperationRecord[] {
    return this.#all;
  }

  /** Unfinished ones of a deployment. */
  unfinished(id: DeploymentId): readonly OperationRecord[] {
    return this.#all.filter((one) => one.deployment === id && !isEnded(one));
  }

  ask(record: DeploymentRecord, asked: AskedOperation): void {
    const replaced = SUPERSEDED_BY[asked.kind];
    const at = this.#now();
    this.#count += 1;
    this.#each(record.id, (one) => {
      return replaced.includes(one.kind) ? { ...one, state: 'superseded', endedAt: at } : one;
    });
    this.#all.push(askedOperation(this.#count, record, asked, at));
  }

  begin(id: DeploymentId): void {
    const at = this.#now();
    this.#each(id, (one) => {
      if (one.state === 'running') return one;
      return { ...one, state: 'running', attempts: one.attempts + 1, startedAt: one.startedAt || at };
    });
  }

  /** False when none runs or is to be parked, or not the one named. */
  end(id: DeploymentId, state: OperationEnd, error: string, operation?: string): boolean {
    const endedAt = isEnded({ state }) ? this.#now() : 0;
    let count = 0;
    this.#each(id, (one) => {
      if ((one.state !== 'running' && state !== 'parked') || (operation !== undefined && one.id !== operation))
        return one;
      count += 1;
      return { ...one, state, error, endedAt };
    });
    return count > 0;
  }

  /** The deployment is gone: whatever was asked of it is done. */
  close(id: DeploymentId): void {
    const endedAt = this.#now();
    this.#each(id, (one) => ({ ...one, state: 'done', error: '', endedAt }));
  }

  /** Replaces what did not end, and forgets the oldest of what did. */
  #each(id: DeploymentId, change: (one: OperationRecord) => OperationRecord): void {
    const all = this.#all.map((one) => (one.deployment === id && !isEnded(one) ? change(one) : one));
    const ended = all.filter(isEnded);
    const forgotten = new Set(ended.slice(0, Math.max(0, ended.length - OPERATION_LIMIT)));
    this.#all = all.filter((one) => !forgotten.has(one));
  }
}
