/** provisiond in one life after another, all on the same journal. */
import { join } from 'node:path';
import { silentLog } from '../../../modules/zbus/broker.ts';
import { ENGINE_LIMITS, type EngineLimits } from '../../../provision/engine/steps.ts';
import { type Provisiond, startProvisiond } from '../../../provision/provisiond.ts';
import { RECONCILE_LIMITS, type ReconcileLimits } from '../../../provision/reconcile/reconciler.ts';
import { CAPACITY_LIMITS } from '../../../provision/reports/capacity.ts';
import { JOURNAL_WRITES } from '../../../provision/store/failing.ts';
import type { Journal } from '../../../provision/store/journal.ts';
import { MemoryJournal } from '../../../provision/store/memory.ts';
import { SqliteJournal } from '../../../provision/store/sqlite.ts';
import type { Bus } from './bus.ts';
import { CPUS } from './daemons.ts';
import type { Fault, Faults } from './faults.ts';
import { Life } from './life.ts';

const GIB = 1024 ** 3;
/** Milliseconds for which a full disk is full. */
const FULL_MS = 5;
export const MEMORY_BYTES = 32 * GIB;
export const CPU_OVERCOMMIT = 4;

const BEFORE_WRITE: readonly Fault[] = ['kill-provisiond', 'power', 'full', 'hour-back', 'day-forward'];
const AFTER_WRITE: readonly Fault[] = ['kill-provisiond', 'power', 'kill-redis', 'cancel', 'grace'];
const WRITES: ReadonlySet<string> = new Set(JOURNAL_WRITES);

const LIMITS: EngineLimits = {
  ...ENGINE_LIMITS,
  retry: { budgetMs: 4_000, firstDelayMs: 1, maxDelayMs: 10 },
  laterMs: [2, 10],
  dependencyWaitMs: 4_000,
  poison: { ...ENGINE_LIMITS.poison, parkMs: 20, aloneMs: 20 },
  stopGraceMs: 5,
};

/** The host is compared with the journal after each start, and what has no owner goes soon. */
const RECONCILE: ReconcileLimits = {
  ...RECONCILE_LIMITS,
  ...{ graceMs: 2, startGraceMs: 2, lookAgainMs: 5, callDeadlineMs: 2_000 },
};

export type JournalKind = 'sqlite' | 'memory';

interface Running {
  readonly life: Life;
  readonly disk: Journal;
  readonly daemon: Provisiond;
}

export class Orchestrator {
  readonly #folder: string;
  readonly #bus: Bus;
  readonly #faults: Faults;
  readonly #memory: MemoryJournal | undefined;
  #life: Life | undefined;
  #fullUntil = 0;
  #running: Running | undefined;

  constructor(folder: string, bus: Bus, faults: Faults, kind: JournalKind) {
    this.#folder = folder;
    this.#bus = bus;
    this.#faults = faults;
    this.#memory = kind === 'memory' ? new MemoryJournal() : undefined;
  }

  /** What stands in the journal's file, where a provisiond lives. */
  get journal(): Journal | undefined {
    return this.#running?.disk;
  }

  get daemon(): Provisiond | undefined {
    return this.#running?.daemon;
  }

  start(): void {
    const life = new Life('provisiond');
    this.#life = life;
    const { server, open } = this.#bus.server(life);
    const disk = this.#memory ?? new SqliteJournal(join(this.#folder, 'journal.sqlite'));
    const daemon = startProvisiond({
      server,
      bus: this.#bus.client(life),
      log: silentLog,
      root: this.#folder,
      journal: this.#mortal(disk, life),
      guest: { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' },
      cpuOvercommit: CPU_OVERCOMMIT,
      contractWaitMs: 300,
      engineLimits: LIMITS,
      contractLimits: {
        intervalMs: 60_000,
        backlogMs: 60_000,
        retryMs: 10,
        confirmDelayMs: 3,
        removalsPerRun: 10,
        readDeadlineMs: 2_000,
        movedDelayMs: 60_000,
      },
      capacityLimits: { ...CAPACITY_LIMITS, gatherMs: 1, deadlineMs: 2_000, retryMs: [3, 10] },
      reconcileLimits: RECONCILE,
      host: { cpus: CPUS, memoryBytes: MEMORY_BYTES },
    });
    this.#running = { life, disk, daemon };
    if (life.isOver) this.#bury();
    else open('provision');
  }

  /** It is gone, with everything that was not in its journal. False where none lives. */
  kill(): boolean {
    if (this.#life === undefined || this.#life.isOver) return false;
    this.#life.end();
    this.#bury();
    return true;
  }

  #bury(): void {
    const running = this.#running;
    // It may die while it starts; then it is buried once it has.
    if (running === undefined || running.life !== this.#life) return;
    this.#running = undefined;
    running.daemon.stop().catch(() => undefined);
    if (this.#memory === undefined) running.disk.close();
  }

  /** The journal as this life sees it: until its end, and with a disk that may be full. */
  #mortal(disk: Journal, life: Life): Journal {
    return new Proxy(disk, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') return value;
        const name = String(property);
        if (name === 'close') return () => undefined;
        return (...args: unknown[]): unknown => {
          life.check();
          if (!WRITES.has(name)) return value.apply(target, args);
          const what = `journal ${name} ${written(args)}`;
          const fault = this.#faults.at({ name: `${what} before`, faults: BEFORE_WRITE });
          life.check();
          if (fault === 'full') this.#fullUntil = performance.now() + FULL_MS;
          if (performance.now() < this.#fullUntil) throw diskFull();
          const result: unknown = value.apply(target, args);
          this.#faults.at({ name: `${what} after`, faults: AFTER_WRITE });
          life.check();
          return result;
        };
      },
    });
  }
}

/** As SQLite says it. */
function diskFull(): Error {
  const said = 'database or disk is full';
  return Object.assign(new Error(said), { code: 'ERR_SQLITE_ERROR', errcode: 13, errstr: said });
}

/** Which record a write is about. */
function written([first, second]: readonly unknown[]): string {
  if (typeof first !== 'string') return String((first as { contract?: bigint }).contract);
  if (typeof second === 'object' && second !== null) {
    const { workload, step, state } = second as Record<string, string>;
    return `${first} ${workload} ${step} ${state}`;
  }
  return `${first} ${second ?? ''}`;
}
