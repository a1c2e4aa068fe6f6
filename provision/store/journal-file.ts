/**
 * The journal's open file and what is in memory of it, which always agree: a write that fails is in neither.
 * A record that can not be read is set aside as soon as that is seen; a damaged file is exchanged for what can
 * be read of it, also while the process runs.
 */
import type { Database } from './database.ts';
import { isDamage } from './database.ts';
import type { DeploymentId } from './journal.ts';
import { Logs } from './logs.ts';
import { exchange, type JournalLog, openJournal } from './opening.ts';
import { Quarantine } from './quarantine.ts';
import { type Damage, Reading } from './reading.ts';
import { Records } from './records.ts';
import { DamagedRow } from './rows.ts';
import { SqliteOperations } from './sqlite-operations.ts';

/** `kill`: it outlives the process; `power`: it outlives a loss of power. */
export type Durability = 'kill' | 'power';

export interface Opened {
  readonly database: Database;
  readonly operations: SqliteOperations;
  readonly quarantine: Quarantine;
  readonly reading: Reading;
  readonly logs: Logs;
  readonly records: Records;
}

export class JournalFile {
  readonly #path: string;
  readonly #now: () => number;
  readonly #log: JournalLog;
  #open: Opened;

  /** `now` gives milliseconds since 1970. */
  constructor(path: string, now: () => number, log: JournalLog) {
    this.#path = path;
    this.#now = now;
    this.#log = log;
    this.#open = this.#load(openJournal(path, now, log));
  }

  get records(): Records {
    return this.#open.records;
  }

  /** One transaction; `changed` names the deployment whose record or operations it changes. */
  write<T>(changed: DeploymentId | undefined, durability: Durability, work: (open: Opened) => T): T {
    const open = this.#open;
    const { database, reading, operations, records } = open;
    const act = () =>
      database.transaction(() => {
        const result = work(open);
        if (changed === undefined) return { result };
        const record = reading.one(changed, records.get(changed));
        return { result, now: { record, unfinished: operations.unfinished(changed) } };
      });
    try {
      const { result, now } = durability === 'power' ? act() : database.unsynced(act);
      if (changed === undefined || now === undefined) return result;
      records.replace(changed, now.record);
      records.replaceOperations(changed, now.unfinished);
      return result;
    } catch (error) {
      if (error instanceof DamagedRow && changed !== undefined) {
        this.#setAside([{ table: 'deployments', key: changed, deployment: changed, reason: error.message }]);
      }
      this.#recover(error);
      throw error;
    }
  }

  read<T>(work: (open: Opened) => T): T {
    try {
      return work(this.#open);
    } catch (error) {
      this.#recover(error);
      throw error;
    }
  }

  close(): void {
    this.#open.database.close();
  }

  /** Where the file is damaged: goes on with what can be read of it, so that the next call finds a whole one. */
  #recover(error: unknown): void {
    if (!isDamage(error)) return;
    this.#open.database.close();
    const faults = [(error as Error).message];
    const aside = exchange(this.#path, faults, this.#now);
    this.#log.error({ err: error, aside }, 'the journal became damaged; what could be read goes on');
    this.#open = this.#load(openJournal(this.#path, this.#now, this.#log));
  }

  #load(database: Database): Opened {
    try {
      const quarantine = new Quarantine(database, this.#now);
      const records = new Records();
      const reading = new Reading(database, (damage) => this.#setAside([damage]));
      const logs = new Logs(database, (sequence, damage) => this.#setLineAside(sequence, damage));
      const operations = new SqliteOperations(database, this.#now, (sequence, damage) =>
        this.#setLineAside(sequence, damage),
      );
      const open = { database, operations, quarantine, reading, logs, records };
      operations.cutShort();
      this.#fill(open);
      return open;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  #fill({ database, operations, quarantine, reading, records }: Opened): void {
    const { records: whole, damages } = reading.all();
    const byDeployment = Map.groupBy(damages, (one) => one.deployment);
    if (damages.length > 0) {
      this.#log.error({ damages }, 'records of the journal are damaged and set aside');
      database.transaction(() => {
        for (const [id, own] of byDeployment) quarantine.setAside(id, own);
      });
    }
    for (const record of whole) if (!byDeployment.has(record.id)) records.replace(record.id, record);
    for (const [id, unfinished] of operations.allUnfinished()) records.replaceOperations(id, unfinished);
    for (const [id, reservation] of quarantine.reservations()) records.setAside(id, reservation);
  }

  /** Found while the process runs. */
  #setAside(damages: readonly Damage[]): void {
    const { database, quarantine, records } = this.#open;
    for (const [id, own] of Map.groupBy(damages, (one) => one.deployment)) {
      // It may have gone since whoever asks saw it.
      if (records.get(id) === undefined) continue;
      this.#log.error({ deployment: id, damages: own }, 'the record of a deployment is damaged and set aside');
      database.transaction(() => quarantine.setAside(id, own));
      records.replace(id, undefined);
      records.replaceOperations(id, []);
      const held = quarantine.reservations().get(id);
      if (held !== undefined) records.setAside(id, held);
    }
  }

  #setLineAside(sequence: number, damage: Damage): void {
    this.#log.error({ damage }, 'a line of the journal is damaged and set aside');
    const { database, quarantine } = this.#open;
    const act = () => quarantine.setLineAside(damage.table, sequence, damage);
    if (database.isInTransaction) act();
    else database.transaction(act);
  }
}
