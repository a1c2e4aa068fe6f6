/** What the chain was told last that each contract uses. */
import type { Database, Row } from '../store/database.ts';
import type { DeploymentId } from '../store/journal.ts';
import { type Facts, numberOf, textOf } from './facts.ts';

export interface ToldCapacity {
  readonly deployment: DeploymentId;
  /** HRU, SRU, CRU, MRU with blanks between; empty when nothing was told yet, or the chain lost it. */
  readonly value: string;
  /** Milliseconds since 1970. */
  readonly toldAt: number;
  /** A final block holds it. */
  readonly confirmed: boolean;
  /** How often it had to be told again because a final block held something else. */
  readonly again: number;
  /** Why the chain refused what there is to tell; empty while it did not. */
  readonly refused: string;
  readonly refusedAt: number;
}

export class CapacityTable {
  readonly #database: Database;
  readonly #facts: Facts;

  constructor(database: Database, facts: Facts) {
    this.#database = database;
    this.#facts = facts;
  }

  get(deployment: DeploymentId): ToldCapacity | undefined {
    const row = this.#database.get('SELECT * FROM capacity WHERE deployment = ?', deployment);
    return row === undefined ? undefined : toldOf(row);
  }

  all(): ToldCapacity[] {
    return this.#database.all('SELECT * FROM capacity ORDER BY deployment').map(toldOf);
  }

  /** The chain took these values, in a block that may be replaced. */
  told(values: ReadonlyMap<DeploymentId, string>, nowMs: number): void {
    this.#database.transaction(() => {
      for (const [deployment, value] of values) {
        this.#database.run(
          `INSERT INTO capacity (deployment, value, toldAt, confirmed, again, refused, refusedAt)
           VALUES (?, ?, ?, 0, 0, '', 0)
           ON CONFLICT (deployment) DO UPDATE SET again = iif(value = '', again, 0),
             value = excluded.value, toldAt = excluded.toldAt, confirmed = 0, refused = '', refusedAt = 0`,
          deployment,
          value,
          nowMs,
        );
      }
      this.#facts.add('capacity_told', values.size);
      this.#facts.set('capacity_told_at', nowMs);
    });
  }

  confirmed(deployments: readonly DeploymentId[]): void {
    this.#database.transaction(() => {
      for (const one of deployments) {
        this.#database.run('UPDATE capacity SET confirmed = 1, again = 0 WHERE deployment = ?', one);
      }
    });
  }

  /** A final block holds something else than what was told: it has to be told again. */
  missed(deployment: DeploymentId): void {
    this.#database.run(`UPDATE capacity SET value = '', again = again + 1 WHERE deployment = ?`, deployment);
  }

  /** A dead letter: kept with its reason, and tried again seldom. */
  refused(deployment: DeploymentId, reason: string, nowMs: number): void {
    this.#database.run(
      `INSERT INTO capacity (deployment, value, toldAt, confirmed, again, refused, refusedAt)
       VALUES (?1, '', 0, 0, 0, ?2, ?3)
       ON CONFLICT (deployment) DO UPDATE SET refused = ?2, refusedAt = ?3`,
      deployment,
      reason,
      nowMs,
    );
  }

  forget(deployment: DeploymentId): void {
    this.#database.run('DELETE FROM capacity WHERE deployment = ?', deployment);
  }

  get dead(): number {
    return numberOf(this.#database.get(`SELECT count(*) AS n FROM capacity WHERE refused <> ''`)?.n ?? 0);
  }

  /** Values told since the file was made, and milliseconds since 1970 of the last time; 0 for none. */
  get sum(): { readonly reports: number; readonly lastAt: number } {
    return { reports: this.#facts.get('capacity_told'), lastAt: this.#facts.get('capacity_told_at') };
  }
}

function toldOf(row: Row): ToldCapacity {
  return {
    deployment: textOf(row, 'deployment'),
    value: textOf(row, 'value'),
    toldAt: numberOf(row.toldAt),
    confirmed: row.confirmed === 1,
    again: numberOf(row.again),
    refused: textOf(row, 'refused'),
    refusedAt: numberOf(row.refusedAt),
  };
}
