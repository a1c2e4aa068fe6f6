/** The operations in the SQLite journal; all but the reads are called inside of a transaction. */
import type { Database, Row } from './database.ts';
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
import { ownerOf } from './quarantine.ts';
import { type Damage, readable } from './reading.ts';
import { operationOf } from './rows.ts';

/** For the reads of one deployment or twin; an older file gets it when it is opened. */
export const OPERATIONS_INDEX = 'CREATE INDEX IF NOT EXISTS operations_of ON operations (twin, deployment, sequence)';

export const OPERATIONS_OF = {
  deployment: 'SELECT * FROM operations WHERE deployment = ?1 AND twin = ?2 ORDER BY sequence',
  twin: 'SELECT * FROM operations WHERE twin = ? ORDER BY sequence',
} as const;

export class SqliteOperations {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #onDamage: (sequence: number, damage: Damage) => void;

  /** `now` gives milliseconds since 1970; `onDamage` hears of lines that can not be read, which are left out. */
  constructor(database: Database, now: () => number, onDamage: (sequence: number, damage: Damage) => void) {
    this.#database = database;
    this.#onDamage = onDamage;
    // 0 means never.
    this.#now = () => Math.max(1, now());
  }

  all(): OperationRecord[] {
    return this.#readable(this.#database.all('SELECT * FROM operations ORDER BY sequence'));
  }

  of(id: DeploymentId): OperationRecord[] {
    return this.#readable(this.#database.all(OPERATIONS_OF.deployment, id, ownerOf(id)?.twin ?? -1));
  }

  ofTwin(twin: number): OperationRecord[] {
    return this.#readable(this.#database.all(OPERATIONS_OF.twin, twin));
  }

  /** Unfinished ones of every deployment that has any, oldest first. */
  allUnfinished(): Map<DeploymentId, OperationRecord[]> {
    const rows = this.#database.all('SELECT * FROM operations WHERE ended_at = 0 ORDER BY deployment, sequence');
    return Map.groupBy(this.#readable(rows), (one) => one.deployment);
  }

  unfinished(id: DeploymentId): OperationRecord[] {
    const sql = 'SELECT * FROM operations WHERE deployment = ? AND ended_at = 0 ORDER BY sequence';
    return this.#readable(this.#database.all(sql, id));
  }

  ask(record: DeploymentRecord, asked: AskedOperation): void {
    const { deployment, twin, contract, kind, workload, version, trace, reason, state, askedAt } = askedOperation(
      0,
      record,
      asked,
      this.#now(),
    );
    const kinds = SUPERSEDED_BY[kind];
    if (kinds.length > 0) {
      const replaced = this.#database.run(
        `UPDATE operations SET state = 'superseded', ended_at = ?
         WHERE deployment = ? AND ended_at = 0 AND kind IN (SELECT value FROM json_each(?))`,
        askedAt,
        deployment,
        JSON.stringify(kinds),
      );
      if (replaced > 0) this.#forget();
    }
    this.#database.run(
      `INSERT INTO operations (deployment, twin, contract, kind, workload, version, trace, reason, state, asked_at, started_at, ended_at, attempts, crashes, error)
       VALUES (?,?,?,?,?,?,?,?,?,?,0,0,0,0,'')`,
      deployment,
      twin,
      contract.toString(),
      kind,
      workload,
      version,
      trace,
      reason,
      state,
      askedAt,
    );
  }

  begin(id: DeploymentId): void {
    this.#database.run(
      `UPDATE operations SET state = 'running', attempts = attempts + 1,
         started_at = CASE started_at WHEN 0 THEN ? ELSE started_at END
       WHERE deployment = ? AND ended_at = 0 AND state <> 'running'`,
      this.#now(),
      id,
    );
  }

  /** False when none runs or is to be parked, or not the one named. */
  end(id: DeploymentId, state: OperationEnd, error: string, operation: string | undefined): boolean {
    const ended = this.#database.run(
      `UPDATE operations SET state = ?1, error = ?2, ended_at = ?3
       WHERE deployment = ?4 AND ended_at = 0 AND (state = 'running' OR ?1 = 'parked') AND (?5 IS NULL OR 'op-' || sequence = ?5)`,
      state,
      error,
      isEnded({ state }) ? this.#now() : 0,
      id,
      operation ?? null,
    );
    if (ended > 0) this.#forget();
    return ended > 0;
  }

  /** The deployment is gone: whatever was asked of it is done. */
  close(id: DeploymentId): void {
    const sql = "UPDATE operations SET state = 'done', error = '', ended_at = ? WHERE deployment = ? AND ended_at = 0";
    if (this.#database.run(sql, this.#now(), id) > 0) this.#forget();
  }

  /** What ran when the process ended was cut short. */
  cutShort(): void {
    this.#database.run(
      "UPDATE operations SET state = 'queued', crashes = crashes + 1 WHERE ended_at = 0 AND state = 'running'",
    );
  }

  #readable(rows: readonly Row[]): OperationRecord[] {
    return readable('operations', rows, operationOf, this.#onDamage);
  }

  #forget(): void {
    this.#database.run(
      `DELETE FROM operations WHERE ended_at <> 0 AND sequence <=
         (SELECT sequence FROM operations WHERE ended_at <> 0 ORDER BY sequence DESC LIMIT 1 OFFSET ?)`,
      OPERATION_LIMIT,
    );
  }
}
