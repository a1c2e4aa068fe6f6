/** The journal's logs in the file: states, steps, and what is gone. */
import type { Database, Row } from './database.ts';
import {
  type Change,
  type DeploymentId,
  type DeploymentRecord,
  HISTORY_LIMIT,
  STEP_LIMIT,
  type StepEntry,
  type Tombstone,
} from './journal.ts';
import { type Damage, readable } from './reading.ts';
import { changeEntryOf, stepOf, tombstoneOf } from './rows.ts';

export class Logs {
  readonly #database: Database;
  readonly #onDamage: (sequence: number, damage: Damage) => void;

  /** `onDamage` hears of lines that can not be read, which are left out. */
  constructor(database: Database, onDamage: (sequence: number, damage: Damage) => void) {
    this.#database = database;
    this.#onDamage = onDamage;
  }

  changes(id: DeploymentId): Change[] {
    const rows = this.#database.all(
      `SELECT c.sequence, c.deployment, c.workload, c.version, s.text AS signed, c.state, c.message, c.data, c.created
       FROM changes c JOIN signed s USING (deployment, workload, version) WHERE c.deployment = ? ORDER BY c.sequence`,
      id,
    );
    return this.#readable('changes', rows, changeEntryOf);
  }

  steps(id: DeploymentId): StepEntry[] {
    const rows = this.#database.all('SELECT * FROM steps WHERE deployment = ? ORDER BY sequence', id);
    return this.#readable('steps', rows, stepOf);
  }

  history(limit: number): Tombstone[] {
    const rows = this.#database.all('SELECT * FROM history ORDER BY sequence DESC LIMIT ?', limit);
    return this.#readable('history', rows, tombstoneOf);
  }

  isInHistory(twin: number, contract: bigint): boolean {
    const sql = 'SELECT 1 FROM history WHERE twin = ? AND contract = ?';
    return this.#database.get(sql, twin, contract.toString()) !== undefined;
  }

  /** Inside of a transaction, as all that follows. Lines of what is gone are left out. */
  recordSteps(lines: readonly { readonly id: DeploymentId; readonly entry: StepEntry }[]): void {
    for (const { id, entry } of lines) {
      const { workload, step, state, message, at, trace } = entry;
      this.#database.run(
        `INSERT INTO steps (deployment, workload, step, state, message, at, trace)
         SELECT id,?,?,?,?,?,? FROM deployments WHERE id = ?`,
        workload,
        step,
        state,
        message,
        at,
        trace,
        id,
      );
    }
    for (const id of new Set(lines.map((line) => line.id))) {
      this.#database.run(
        `DELETE FROM steps WHERE deployment = ?1 AND sequence <=
           (SELECT sequence FROM steps WHERE deployment = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)`,
        id,
        STEP_LIMIT,
      );
    }
  }

  bury(
    {
      twin,
      contract,
      hash,
      trace,
      acceptedAt,
    }: Pick<DeploymentRecord, 'twin' | 'contract' | 'hash' | 'trace' | 'acceptedAt'>,
    reason: string,
    goneAt: number,
  ): void {
    this.#database.run(
      'INSERT INTO history (twin, contract, hash, trace, reason, accepted_at, gone_at) VALUES (?,?,?,?,?,?,?)',
      twin,
      contract.toString(),
      hash,
      trace,
      reason,
      acceptedAt,
      goneAt,
    );
    this.#database.run(
      'DELETE FROM history WHERE sequence <= (SELECT sequence FROM history ORDER BY sequence DESC LIMIT 1 OFFSET ?)',
      HISTORY_LIMIT,
    );
  }

  #readable<T>(table: string, rows: readonly Row[], read: (row: Row) => T): T[] {
    return readable(table, rows, read, this.#onDamage);
  }
}
