/** Numbers by name in the file of reports, and how its columns are read. */
import type { Database, Row } from '../store/database.ts';
import type { DeploymentId } from '../store/journal.ts';

/** Sums and times by name; 0 for what was never set. */
export class Facts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  get(name: string): number {
    return numberOf(this.#database.get('SELECT value FROM facts WHERE name = ?', name)?.value ?? 0);
  }

  set(name: string, value: number): void {
    this.#database.run('INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)', name, value);
  }

  add(name: string, amount: number): void {
    if (amount !== 0) this.set(name, this.get(name) + amount);
  }
}

export function numberOf(value: unknown): number {
  if (typeof value !== 'number') throw new TypeError(`a number is stored as ${typeof value}`);
  return value;
}

export function textOf(row: Row, column: string): string {
  return String(row[column]);
}

/** The contract of a deployment's id. */
export function contractOf(deployment: DeploymentId): bigint {
  return BigInt(deployment.slice(deployment.indexOf('-') + 1));
}
