/**
 * Records that can not be read, set aside by name with everything of them that can. Nobody acts on them: what
 * they hold on the host stays, and stays counted, until their contract is over.
 */
import type { Reservation, ReservedWorkload } from '../plan/capacity.ts';
import { reserve } from '../plan/plan.ts';
import { requestOfWorkload } from '../workloads/index.ts';
import type { Database, Row } from './database.ts';
import type { DeploymentId, Quarantined } from './journal.ts';
import { type Damage, namesIn } from './reading.ts';
import { reservedOf } from './rows.ts';
import { signedWorkload } from './signed.ts';

/** Damaged lines of logs that are remembered; deployments all are. */
const LINES_KEPT = 1000;

/** In the place of a table: nothing of it is damaged that anybody still asks for. */
const VACATING = 'vacating';
const HELD_BY = 'SELECT reservation FROM quarantine WHERE deployment = ? AND reservation IS NOT NULL';

const TABLES_OF_A_DEPLOYMENT = [
  ['deployments', 'id'],
  ['workloads', 'deployment'],
  ['signed', 'deployment'],
  ['changes', 'deployment'],
  ['steps', 'deployment'],
] as const;

export class Quarantine {
  readonly #database: Database;
  readonly #now: () => number;

  /** `now` gives milliseconds since 1970. */
  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** Takes a deployment out of every table, for one or more reasons. Inside of a transaction. */
  setAside(id: DeploymentId, damages: readonly Damage[]): void {
    const rows = Object.fromEntries(
      TABLES_OF_A_DEPLOYMENT.map(([table, column]) => [table, this.#rows(table, column, id)]),
    );
    const held = this.heldBy(id);
    damages.forEach((damage, index) => {
      this.#write(damage, index === 0 ? rows : {}, index === 0 ? held : undefined);
    });
    for (const [table, column] of TABLES_OF_A_DEPLOYMENT.toReversed()) {
      this.#database.run(`DELETE FROM ${table} WHERE ${column} = ?`, id);
    }
    const why = 'the record of the deployment is damaged and set aside';
    this.#database.run(
      "UPDATE operations SET state = 'failed', error = ?, ended_at = ? WHERE deployment = ? AND ended_at = 0",
      why,
      Math.max(1, this.#now()),
      id,
    );
  }

  /** What a deployment holds whose record can not be read, as far as that can. */
  heldBy(id: DeploymentId): ReservedWorkload[] {
    const documents = this.#rows('deployments', 'id', id).map(({ document }) => document);
    const signed = this.#database.all('SELECT workload, text FROM signed WHERE deployment = ? ORDER BY version', id);
    return heldBy(id, documents, this.#rows('workloads', 'deployment', id), signed);
  }

  /** Takes one line out of a log. Inside of a transaction. */
  setLineAside(table: string, sequence: number, damage: Damage): void {
    this.#write(damage, { [table]: this.#rows(table, 'rowid', sequence) }, undefined);
    this.#database.run(`DELETE FROM ${table} WHERE rowid = ?`, sequence);
    this.#database.run(
      `DELETE FROM quarantine WHERE reservation IS NULL AND sequence <= (SELECT sequence FROM quarantine
       WHERE reservation IS NULL ORDER BY sequence DESC LIMIT 1 OFFSET ?)`,
      LINES_KEPT,
    );
  }

  /** Tells of what is lost without a trace. Inside of a transaction. */
  tell(damage: Damage): void {
    this.#write(damage, {}, undefined);
  }

  list(): Quarantined[] {
    const sql = 'SELECT source, key, deployment, reason, at FROM quarantine WHERE source <> ? ORDER BY sequence';
    const rows = this.#database.all(sql, VACATING);
    return rows.map(({ source, key, deployment, reason, at }) => ({
      table: String(source),
      key: String(key),
      deployment: String(deployment),
      reason: String(reason),
      at: Number(at),
    }));
  }

  /** What deployments hold that are set aside, as far as it could be read. */
  reservations(): Map<DeploymentId, Reservation> {
    const found = new Map<DeploymentId, Reservation>();
    for (const row of this.#database.all(
      'SELECT deployment, reservation FROM quarantine WHERE reservation IS NOT NULL',
    )) {
      const id = String(row.deployment);
      const owner = ownerOf(id);
      if (owner === undefined) continue;
      const held = JSON.parse(String(row.reservation)) as unknown[];
      found.set(id, { ...owner, workloads: held.map(reservedOf) });
    }
    return found;
  }

  /** The deployment's contract is over: only what it holds is left of it. Inside of a transaction. */
  discharge(id: DeploymentId, reason: string): void {
    const [held] = this.#database.all(HELD_BY, id);
    this.#database.run('DELETE FROM quarantine WHERE deployment = ?', id);
    if (held === undefined) return;
    const workloads = JSON.parse(String(held.reservation)) as ReservedWorkload[];
    this.#write({ table: VACATING, key: id, deployment: id, reason }, {}, workloads);
  }

  /** Deployments that were discharged and may still have something on the host. */
  vacating(): DeploymentId[] {
    const sql = 'SELECT deployment FROM quarantine WHERE source = ? ORDER BY sequence';
    return this.#database.all(sql, VACATING).map(({ deployment }) => String(deployment));
  }

  /** The host has nothing of it any more. Inside of a transaction. */
  vacated(id: DeploymentId): void {
    this.#database.run('DELETE FROM quarantine WHERE deployment = ? AND source = ?', id, VACATING);
  }

  #write({ table, key, deployment, reason }: Damage, salvage: object, held: readonly ReservedWorkload[] | undefined) {
    this.#database.run(
      'INSERT INTO quarantine (source, key, deployment, reason, at, salvage, reservation) VALUES (?,?,?,?,?,?,?)',
      table,
      key,
      deployment,
      reason,
      Math.max(1, this.#now()),
      JSON.stringify(salvage, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)),
      held === undefined ? null : JSON.stringify(held),
    );
  }

  #rows(table: string, column: string, key: string | number): Row[] {
    return this.#database.all(`SELECT * FROM ${table} WHERE ${column} = ?`, key);
  }
}

/** Twin and contract of an id; undefined for what is none. */
export function ownerOf(id: DeploymentId): { readonly twin: number; readonly contract: bigint } | undefined {
  const match = /^(\d{1,10})-(\d{1,20})$/.exec(id);
  return match === null ? undefined : { twin: Number(match[1]), contract: BigInt(match[2] ?? '') };
}

/** What the workloads hold; of one that does not say so any more, what it was signed for. */
function heldBy(
  id: DeploymentId,
  documents: readonly unknown[],
  workloads: readonly Row[],
  signed: readonly Row[],
): ReservedWorkload[] {
  const found = new Map<string, ReservedWorkload>();
  const listed = new Set([...documents.flatMap(namesIn), ...workloads.map(({ name }) => String(name))]);
  for (const { workload, text } of signed) {
    // What earlier versions had may be long gone.
    if (listed.size > 0 && !listed.has(String(workload))) continue;
    const asked = signedFor(id, text);
    if (asked !== undefined) found.set(asked.name, asked);
  }
  for (const { name, held, state } of workloads) {
    if (held === null && (state === 'error' || state === 'deleted')) found.delete(String(name));
    if (typeof held !== 'string') continue;
    try {
      found.set(String(name), reservedOf(JSON.parse(held)));
    } catch {
      // It stays with what it was signed for.
    }
  }
  return [...found.values()];
}

/** In no pool until storaged shows where it is. */
function signedFor(id: DeploymentId, text: unknown): ReservedWorkload | undefined {
  const owner = ownerOf(id);
  if (owner === undefined) return undefined;
  try {
    const request = requestOfWorkload(owner.twin, owner.contract, signedWorkload({ signed: String(text) }));
    const allocations = request.allocations.map((one) => ({ ...one, pool: '' }));
    return { ...reserve(request, allocations), state: 'committed' };
  } catch {
    return undefined;
  }
}
