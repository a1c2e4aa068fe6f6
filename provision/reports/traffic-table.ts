/**
 * Counters, windows and reports of public traffic. A byte is in exactly one place: counted in a window that is
 * open, in a report, or in the sum of those that were told, void or dropped.
 */
import type { Database, Row } from '../store/database.ts';
import type { DeploymentId } from '../store/journal.ts';
import { contractOf, type Facts, numberOf, textOf } from './facts.ts';

/** A counter of one workload's public traffic, both directions, in bytes. */
export interface TrafficReading {
  /** `<twin>-<contract>-<name>`. */
  readonly workload: string;
  readonly deployment: DeploymentId;
  readonly bytes: number;
  /** Differs where the counter began anew, as after a start of the machine that the node runs on. */
  readonly epoch: string;
}

/** `queued`, `sent` (it may be on the chain), or `dead`: refused, kept and tried again seldom. */
export type ReportState = 'queued' | 'sent' | 'dead';

/** Bytes of the half-open window [since, until), seconds since 1970. Windows of a deployment never overlap. */
export interface TrafficReport {
  /** `r-<n>`, in the order in which windows ended. */
  readonly id: string;
  readonly deployment: DeploymentId;
  readonly contract: bigint;
  readonly since: number;
  readonly until: number;
  readonly bytes: number;
  readonly state: ReportState;
  /** The timestamp it was sent with; 0 before. */
  readonly stamp: number;
  /** How often the chain took it and did not count it. */
  readonly passed: number;
  readonly reason: string;
  /** Milliseconds since 1970 of the last change of state. */
  readonly at: number;
}

/** The one transaction that is under way, or whose end is not known. */
export interface Attempt {
  /** Final block with which its life begins. */
  readonly birth: number;
  /** A final block had it. */
  readonly included: boolean;
  readonly reports: readonly TrafficReport[];
}

/** What of the chain decides about a report that was sent. */
export type Fate = 'told' | 'void' | 'again' | 'passed';

export interface TrafficSums {
  readonly counted: number;
  readonly open: number;
  readonly pending: number;
  readonly dead: number;
  readonly told: number;
  /** Of contracts that ended before the chain could count it. */
  readonly void: number;
  /** Of dead letters that had to go for newer ones. */
  readonly dropped: number;
}

/** Reports of one deployment that wait; later ones grow the newest. A week of hours. */
export const QUEUED_LIMIT = 168;
/** Dead letters that are kept. */
export const DEAD_LIMIT = 1000;

export class TrafficTable {
  readonly #database: Database;
  readonly #facts: Facts;

  constructor(database: Database, facts: Facts) {
    this.#database = database;
    this.#facts = facts;
  }

  /** Counters of which nothing is known are not counted from zero at the next sample. */
  beginAtCounters(): void {
    this.#facts.set('begin_at_counters', 1);
  }

  /**
   * Adds what was counted since the last sample. A counter that is new, or began anew, counts from zero.
   * `now` is in seconds; time that went back stands still.
   */
  sample(readings: readonly TrafficReading[], now: number): void {
    this.#database.transaction(() => {
      const last = this.#facts.get('sampled_at');
      const at = Math.max(now, last);
      const isBase = this.#facts.get('begin_at_counters') === 1;
      for (const { workload, deployment, bytes, epoch } of readings) {
        const before = this.#database.get('SELECT epoch, bytes FROM counters WHERE workload = ?', workload);
        let from = before?.epoch === epoch && numberOf(before.bytes) <= bytes ? numberOf(before.bytes) : 0;
        if (before === undefined && isBase) from = bytes;
        this.#database.run(
          'INSERT OR REPLACE INTO counters (workload, deployment, epoch, bytes) VALUES (?, ?, ?, ?)',
          workload,
          deployment,
          epoch,
          bytes,
        );
        this.#facts.add('counted', bytes - from);
        const opened = last === 0 ? at - 1 : Math.min(last, at - 1);
        this.#database.run(
          `INSERT INTO windows (deployment, opened, until, bytes) VALUES (?, ?, ?, ?)
           ON CONFLICT (deployment) DO UPDATE
           SET until = max(excluded.until, opened + 1), bytes = bytes + excluded.bytes`,
          deployment,
          opened,
          at,
          bytes - from,
        );
      }
      // Of workloads that are gone, too: their windows end with those of the others.
      this.#database.run('UPDATE windows SET until = max(?, opened + 1, until)', at);
      this.#facts.set('sampled_at', at);
      this.#facts.set('begin_at_counters', 0);
    });
  }

  /** The workload's counter is gone; one of that name is another. */
  forgetCounter(workload: string): void {
    this.#database.run('DELETE FROM counters WHERE workload = ?', workload);
  }

  /** Counters whose workload no sample finds any more. */
  counters(): Array<{ readonly workload: string; readonly deployment: DeploymentId }> {
    return this.#database
      .all('SELECT workload, deployment FROM counters')
      .map((row) => ({ workload: textOf(row, 'workload'), deployment: textOf(row, 'deployment') }));
  }

  /**
   * Ends the windows that are at least `least` seconds long, or whose deployment `ends`: each with bytes becomes
   * a report, and the next begins where it ended.
   */
  cut(least: number, ends: (id: DeploymentId) => boolean, nowMs: number): void {
    this.#database.transaction(() => {
      for (const row of this.#database.all('SELECT * FROM windows')) {
        const deployment = textOf(row, 'deployment');
        const [since, until, bytes] = [numberOf(row.opened), numberOf(row.until), numberOf(row.bytes)];
        const isEnd = ends(deployment);
        if (until - since < least && !isEnd) continue;
        if (bytes > 0) this.#queue(deployment, since, until, bytes, nowMs);
        const next = 'UPDATE windows SET opened = until, bytes = 0 WHERE deployment = ?';
        this.#database.run(isEnd ? 'DELETE FROM windows WHERE deployment = ?' : next, deployment);
      }
    });
  }

  #queue(deployment: DeploymentId, since: number, until: number, bytes: number, nowMs: number): void {
    const [full] = this.#database.all(
      `SELECT id FROM reports WHERE deployment = ?1 AND state = 'queued'
       AND (SELECT count(*) FROM reports WHERE deployment = ?1) >= ?2 ORDER BY since DESC LIMIT 1`,
      deployment,
      QUEUED_LIMIT,
    );
    if (full !== undefined) {
      const grow = 'UPDATE reports SET until = ?, bytes = bytes + ? WHERE id = ?';
      this.#database.run(grow, until, bytes, textOf(full, 'id'));
      return;
    }
    this.#facts.add('reports', 1);
    this.#database.run(
      `INSERT INTO reports (id, deployment, since, until, bytes, state, stamp, passed, reason, at)
       VALUES (?, ?, ?, ?, ?, 'queued', 0, 0, '', ?)`,
      `r-${this.#facts.get('reports')}`,
      deployment,
      since,
      until,
      bytes,
      nowMs,
    );
  }

  /** Reports that wait, those of the earliest windows first. */
  queued(limit: number): TrafficReport[] {
    return this.#reports(`state = 'queued' ORDER BY since, id LIMIT ?`, limit);
  }

  /** Dead letters that were last tried before `beforeMs`. */
  dead(limit: number, beforeMs = Number.MAX_SAFE_INTEGER): TrafficReport[] {
    return this.#reports(`state = 'dead' AND at < ? ORDER BY at, id LIMIT ?`, beforeMs, limit);
  }

  /** Those of the ids that still wait or are dead. */
  unsent(ids: readonly string[]): TrafficReport[] {
    return ids.flatMap((id) => this.#reports(`id = ? AND state <> 'sent'`, id));
  }

  attempt(): Attempt | undefined {
    const row = this.#database.get('SELECT birth, included FROM attempt');
    if (row === undefined) return undefined;
    const reports = this.#reports(`state = 'sent' ORDER BY stamp, id`);
    return { birth: numberOf(row.birth), included: row.included === 1, reports };
  }

  /** Notes what is about to be sent, before it is. One attempt at a time. */
  begin(birth: number, stamps: ReadonlyMap<string, number>, nowMs: number): void {
    this.#database.transaction(() => {
      this.#database.run('INSERT INTO attempt (one, birth, included) VALUES (1, ?, 0)', birth);
      for (const [id, stamp] of stamps) {
        const sent = `UPDATE reports SET state = 'sent', stamp = ?, at = ? WHERE id = ? AND state <> 'sent'`;
        if (this.#database.run(sent, stamp, nowMs, id) !== 1) throw new Error(`report ${id} can not be sent`);
      }
    });
  }

  /** A final block has the attempt's transaction. */
  included(): void {
    this.#database.run('UPDATE attempt SET included = 1');
  }

  /** The fates of reports that were sent, and of the attempt when none is left. */
  settle(fates: ReadonlyMap<string, Fate>, most: number, nowMs: number): void {
    this.#database.transaction(() => {
      for (const [id, fate] of fates) {
        const [report] = this.#reports(`id = ? AND state = 'sent'`, id);
        if (report === undefined) continue;
        if (fate === 'told' || fate === 'void') this.#close(report, fate, nowMs);
        else if (fate === 'passed' && report.passed + 1 >= most) {
          this.#kill(report, `the chain took it ${most} times and counted nothing`, nowMs);
        } else {
          const again = `UPDATE reports SET state = 'queued', passed = passed + ?, at = ? WHERE id = ?`;
          this.#database.run(again, fate === 'passed' ? 1 : 0, nowMs, id);
        }
      }
      this.#endAttempt();
    });
  }

  /** The chain refused the attempt: nothing of it was counted. One report alone becomes a dead letter. */
  refused(reason: string, nowMs: number): void {
    this.#database.transaction(() => {
      const sent = this.#reports(`state = 'sent'`);
      for (const report of sent) {
        if (sent.length === 1) this.#kill(report, reason, nowMs);
        else this.#database.run(`UPDATE reports SET state = 'queued', at = ? WHERE id = ?`, nowMs, report.id);
      }
      this.#endAttempt();
    });
  }

  /** Of a contract that is gone: nobody will count it. */
  giveUp(ids: readonly string[], nowMs: number): void {
    this.#database.transaction(() => {
      for (const report of this.unsent(ids)) this.#close(report, 'void', nowMs);
    });
  }

  sums(): TrafficSums {
    const sum = (sql: string): number => numberOf(this.#database.get(sql)?.sum ?? 0);
    return {
      counted: this.#facts.get('counted'),
      open: sum('SELECT sum(bytes) AS sum FROM windows'),
      pending: sum(`SELECT sum(bytes) AS sum FROM reports WHERE state <> 'dead'`),
      dead: sum(`SELECT sum(bytes) AS sum FROM reports WHERE state = 'dead'`),
      told: this.#facts.get('told'),
      void: this.#facts.get('void'),
      dropped: this.#facts.get('dropped'),
    };
  }

  count(state: ReportState): number {
    return numberOf(this.#database.get('SELECT count(*) AS n FROM reports WHERE state = ?', state)?.n ?? 0);
  }

  /** Reports told since the file was made, and milliseconds since 1970 of the last one; 0 for none. */
  get told(): { readonly reports: number; readonly lastAt: number } {
    return { reports: this.#facts.get('told_reports'), lastAt: this.#facts.get('told_at') };
  }

  #close({ id, bytes }: TrafficReport, fate: 'told' | 'void', nowMs: number): void {
    this.#database.run('DELETE FROM reports WHERE id = ?', id);
    this.#facts.add(fate, bytes);
    if (fate === 'void') return;
    this.#facts.add('told_reports', 1);
    this.#facts.set('told_at', nowMs);
  }

  #kill(report: TrafficReport, reason: string, nowMs: number): void {
    const dead = `UPDATE reports SET state = 'dead', passed = 0, reason = ?, at = ? WHERE id = ?`;
    this.#database.run(dead, reason, nowMs, report.id);
    for (const oldest of this.dead(Math.max(0, this.count('dead') - DEAD_LIMIT))) {
      this.#database.run('DELETE FROM reports WHERE id = ?', oldest.id);
      this.#facts.add('dropped', oldest.bytes);
    }
  }

  #endAttempt(): void {
    this.#database.run(`DELETE FROM attempt WHERE NOT EXISTS (SELECT 1 FROM reports WHERE state = 'sent')`);
  }

  #reports(where: string, ...values: Array<string | number>): TrafficReport[] {
    return this.#database.all(`SELECT * FROM reports WHERE ${where}`, ...values).map(reportOf);
  }
}

function reportOf(row: Row): TrafficReport {
  const deployment = textOf(row, 'deployment');
  return {
    id: textOf(row, 'id'),
    deployment,
    contract: contractOf(deployment),
    since: numberOf(row.since),
    until: numberOf(row.until),
    bytes: numberOf(row.bytes),
    state: textOf(row, 'state') as ReportState,
    stamp: numberOf(row.stamp),
    passed: numberOf(row.passed),
    reason: textOf(row, 'reason'),
    at: numberOf(row.at),
  };
}
