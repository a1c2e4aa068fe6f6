/**
 * The journal's open file and what is in memory of it, which always agree: a write that fails is in neither.
 * A record that can not be read is set aside as soon as that is seen; a damaged file is exchanged for what can
 * be read of it, also while the process runs.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from './database.ts';
import { isDamage, isUnwritable } from './database.ts';
import type { DeploymentId, DeploymentRecord, StepEntry } from './journal.ts';
import { Logs } from './logs.ts';
import { type JournalLog, openJournal } from './opening.ts';
import { ownerOf, Quarantine } from './quarantine.ts';
import { type Damage, Reading } from './reading.ts';
import { Records } from './records.ts';
import { DamagedRow } from './rows.ts';
import { OPERATIONS_INDEX, SqliteOperations } from './sqlite-operations.ts';
import { Syncing } from './syncing.ts';

/**
 * What a write outlives when it returns: `power` a loss of power, `soon` that of the process and within
 * `SYNC_MS` a loss of power, `kill` that of the process. Whatever is lost is lost from the end, so a later
 * write that outlives a loss of power keeps all before it.
 */
export type Durability = 'kill' | 'soon' | 'power';

const SYNC_MS = 20;
/** Lines of the engine's log are gathered for so long, unless something else is written. */
const LINES_MS = 5;

/** What of a deployment a write changes, so that only that is read again. */
export type Touched = 'all' | 'operations' | { readonly workload: string };

export interface Opened {
  readonly database: Database;
  readonly operations: SqliteOperations;
  readonly quarantine: Quarantine;
  readonly reading: Reading;
  readonly logs: Logs;
  readonly records: Records;
  readonly syncing: Syncing;
}

export class JournalFile {
  readonly #path: string;
  readonly #now: () => number;
  readonly #log: JournalLog;
  /** Undefined from when the file was seen to be damaged until somebody asks again. */
  #open: Opened | undefined;
  #isSyncDue = false;
  #lines: { readonly id: DeploymentId; readonly entry: StepEntry }[] = [];
  #linesTimer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #areIndexesDoubtful = false;

  /** `now` gives milliseconds since 1970. */
  constructor(path: string, now: () => number, log: JournalLog) {
    this.#path = path;
    this.#now = now;
    this.#log = log;
    this.#open = this.#load();
  }

  get records(): Records {
    return this.#opened().records;
  }

  /**
   * One transaction; `changed` names the deployment whose record or operations it changes, `touched` what of
   * it. `then` is part of it, too, and gets the record as it is after `work`.
   */
  write<T>(
    changed: DeploymentId | undefined,
    durability: Durability,
    work: (open: Opened) => T,
    touched: Touched = 'all',
    then?: (result: T, record: DeploymentRecord | undefined, open: Opened) => void,
  ): T {
    const open = this.#opened();
    const { database, operations, records } = open;
    const lines = this.#takeLines();
    const act = () => {
      if (lines.length > 0) open.logs.recordSteps(lines);
      const result = work(open);
      if (changed === undefined) return { result };
      const record = this.#recordNow(open, changed, touched);
      then?.(result, record, open);
      const unfinished = typeof touched === 'object' ? undefined : operations.unfinished(changed);
      return { result, now: { record, unfinished } };
    };
    try {
      const { result, now } = durability === 'power' ? database.transaction(act) : database.unsynced(act);
      if (durability === 'soon') this.#syncSoon();
      if (changed === undefined || now === undefined) return result;
      if (touched !== 'operations') records.replace(changed, now.record);
      if (now.unfinished !== undefined) records.replaceOperations(changed, now.unfinished);
      return result;
    } catch (error) {
      if (error instanceof DamagedRow && changed !== undefined) {
        this.#setAside([{ table: 'deployments', key: changed, deployment: changed, reason: error.message }]);
      }
      this.#leave(open, error);
      throw error;
    }
  }

  #recordNow({ reading, records }: Opened, id: DeploymentId, touched: Touched): DeploymentRecord | undefined {
    const before = records.get(id);
    if (touched === 'operations') return before;
    if (touched === 'all' || before === undefined) return reading.one(id, before);
    return reading.withWorkload(before, touched.workload);
  }

  /** Writes a line of the engine's log, with the next write or a moment later. */
  note(id: DeploymentId, entry: StepEntry): void {
    this.#lines.push({ id, entry });
    this.#linesTimer ??= setTimeout(() => this.writeLines(), LINES_MS).unref();
  }

  /** Those gathered until now. What can not be written is lost: it is a log for people. */
  writeLines(): void {
    if (this.#lines.length === 0 || this.#isClosed) return;
    try {
      this.write(undefined, 'kill', () => undefined);
    } catch (error) {
      this.#log.error({ err: error }, 'lines of the log of steps could not be written');
    }
  }

  #takeLines(): readonly { readonly id: DeploymentId; readonly entry: StepEntry }[] {
    clearTimeout(this.#linesTimer);
    this.#linesTimer = undefined;
    const lines = this.#lines;
    if (lines.length > 0) this.#lines = [];
    return lines;
  }

  read<T>(work: (open: Opened) => T): T {
    const open = this.#opened();
    try {
      return work(open);
    } catch (error) {
      this.#leave(open, error);
      throw error;
    }
  }

  close(): void {
    if (this.#open !== undefined) this.writeLines();
    clearTimeout(this.#linesTimer);
    this.#isClosed = true;
    this.#open?.syncing.close();
    this.#open?.database.close();
  }

  /** Resolves when all that was written until now outlives a loss of power. */
  synced(): Promise<void> {
    return this.#opened().syncing.synced();
  }

  /** One sync for all that was written within `SYNC_MS`; the process goes on meanwhile. */
  #syncSoon(): void {
    if (this.#isSyncDue) return;
    this.#isSyncDue = true;
    const sync = async (): Promise<void> => {
      await sleep(SYNC_MS, undefined, { ref: false });
      this.#isSyncDue = false;
      if (!this.#isClosed) await this.synced();
    };
    sync().catch((error: unknown) => {
      this.#log.error({ err: error }, 'the journal could not be synced; a loss of power may undo the last of it');
    });
  }

  /** Where the file is damaged: whoever asks next finds what can be read of it. */
  #leave(open: Opened, error: unknown): void {
    if (!isDamage(error) || this.#open !== open) return;
    this.#open = undefined;
    this.#areIndexesDoubtful = true;
    this.#log.error({ err: error, path: this.#path }, 'the journal became damaged');
    open.syncing.close();
    open.database.close();
  }

  #opened(): Opened {
    if (this.#open === undefined && this.#isClosed) throw new Error('the journal is closed');
    this.#open ??= this.#load();
    return this.#open;
  }

  #load(): Opened {
    try {
      return this.#loadOnce();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#areIndexesDoubtful = true;
      return this.#loadOnce();
    }
  }

  #loadOnce(): Opened {
    const now = this.#now;
    const database = openJournal(this.#path, now, this.#log);
    try {
      // Pages may be whole and an index still tell of other rows than its table has.
      if (this.#areIndexesDoubtful) database.execute('REINDEX');
      this.#areIndexesDoubtful = false;
      const reading = new Reading(
        database,
        // Records outlive an exchange of the file.
        (sql, ...key) => this.read((open) => open.database.get(sql, ...key)?.text),
        (damage) => this.#setAside([damage]),
      );
      const setLineAside = (sequence: number, damage: Damage): void => {
        this.#log.error({ damage }, 'a line of the journal is damaged and set aside');
        const act = () => quarantine.setLineAside(damage.table, sequence, damage);
        if (database.isInTransaction) act();
        else database.transaction(act);
      };
      const quarantine = new Quarantine(database, now);
      const logs = new Logs(database, setLineAside);
      const operations = new SqliteOperations(database, now, setLineAside);
      const syncing = new Syncing(`${this.#path}-wal`);
      const open = { database, operations, quarantine, reading, logs, records: new Records(), syncing };
      this.#ifThereIsRoom(() => {
        database.execute(OPERATIONS_INDEX);
        operations.cutShort();
      });
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
      for (const id of byDeployment.keys()) {
        const owner = ownerOf(id);
        if (owner !== undefined) records.setAside(id, { ...owner, workloads: quarantine.heldBy(id) });
      }
      // Where they stay in their tables, the next start finds them again.
      this.#ifThereIsRoom(() =>
        database.transaction(() => {
          for (const [id, own] of byDeployment) quarantine.setAside(id, own);
        }),
      );
    }
    for (const record of whole) if (!byDeployment.has(record.id)) records.replace(record.id, record);
    for (const [id, unfinished] of operations.allUnfinished()) records.replaceOperations(id, unfinished);
    for (const [id, reservation] of quarantine.reservations()) records.setAside(id, reservation);
    for (const id of quarantine.vacating()) records.vacate(id);
  }

  /** A full disk is no reason not to start. */
  #ifThereIsRoom(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!isUnwritable(error)) throw error;
      this.#log.error({ err: error, path: this.#path }, 'the journal can not be written yet');
    }
  }

  /** Found while the process runs. */
  #setAside(damages: readonly Damage[]): void {
    const { database, quarantine, records } = this.#opened();
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
}
