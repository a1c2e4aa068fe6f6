/**
 * Keeps the host as the journal wants it beyond single deployments: at the start, every few minutes and on request
 * it compares what the daemons have with what was promised, has repaired what vanished, and removes what nothing needs.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BusLog } from '../../modules/zbus/broker.ts';
import type { DeploymentId } from '../store/journal.ts';
import { compare, type Difference, type Leak, runningNow } from './compare.ts';
import {
  type HostItem,
  type HostReading,
  type Inventories,
  keyOf,
  MODULES,
  type Module,
  rankOf,
  readHost,
  usersOf,
} from './host.ts';
import { type Leaks, NO_LEAKS, Tally } from './leaks.ts';
import { type JournalView, ownerOf } from './owners.ts';
import { Sightings } from './sightings.ts';

export interface ReconcileLimits {
  /** Milliseconds between two runs. */
  readonly intervalMs: number;
  /** Milliseconds that something without an owner stays at least. */
  readonly graceMs: number;
  /** The same for what is there when a daemon answers first: nobody has begun to make it since. */
  readonly startGraceMs: number;
  /** Milliseconds until the next run where a daemon never answered yet, or a machine waits for what is in its way. */
  readonly lookAgainMs: number;
  /** Things removed in one run at most: more of them point at a mistake rather than at leaks. */
  readonly removalsPerRun: number;
  readonly callDeadlineMs: number;
}

export const RECONCILE_LIMITS: ReconcileLimits = {
  intervalMs: 300_000,
  graceMs: 600_000,
  startGraceMs: 5_000,
  lookAgainMs: 5_000,
  removalsPerRun: 100,
  callDeadlineMs: 30_000,
};

/** What the engine does for the comparison. */
export interface DeploymentLanes {
  /** Has looked whether what runs by the journal is there, and made again what is not. */
  recheck(id: DeploymentId): void;
  /** Runs the work while nobody else works on the deployment; false, without running it, while somebody does. */
  aside(id: DeploymentId, work: () => Promise<void>): Promise<boolean>;
}

export interface ReconcilerOptions {
  readonly journal: JournalView;
  readonly inventories: Inventories;
  readonly lanes: DeploymentLanes;
  readonly log: BusLog;
  readonly limits?: ReconcileLimits;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #limits: ReconcileLimits;
  readonly #now: () => number;
  readonly #sightings = new Sightings();
  /** Of what is not there: once may be a moment's. */
  readonly #misses = new Sightings();
  /** What could not be removed when that was last tried: it waits behind the others. */
  readonly #failed = new Set<string>();
  /** Daemons that have answered once. */
  readonly #met = new Set<Module>();
  readonly #stopping = new AbortController();
  #running: Promise<Leaks> | undefined;
  #leaks: Leaks = NO_LEAKS;
  #nextMs: number;
  #told = '';

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#limits = options.limits ?? RECONCILE_LIMITS;
    this.#now = options.now ?? (() => performance.now());
    this.#nextMs = this.#limits.intervalMs;
  }

  /** Of the last run, and the sums of all. */
  get leaks(): Leaks {
    return this.#leaks;
  }

  /** Runs until the signal aborts; never throws. */
  async loop(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#stopping.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    while (!signal.aborted) {
      await this.run();
      await sleep(this.#nextMs, undefined, { signal }).catch(() => undefined);
    }
    signal.removeEventListener('abort', stop);
  }

  /** Compares once, or waits for the comparison that is under way. What failed is in the answer. */
  run(): Promise<Leaks> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #run(): Promise<Leaks> {
    const { journal, inventories, log } = this.#options;
    const [startedAt, began] = [Date.now(), this.#now()];
    const tally = new Tally();
    let [error, away]: [string, readonly string[]] = ['', []];
    try {
      const running = await runningNow(journal);
      const vacating = journal.vacating();
      const calling = { deadlineMs: this.#limits.callDeadlineMs, signal: this.#stopping.signal };
      const reading = await readHost(inventories, calling);
      away = [...reading.away.keys()];
      if (away.length > 0) log.warn({ away: [...reading.away] }, 'daemons that do not tell what they have');
      const difference = await compare(journal, reading, running);
      this.#free(reading, vacating);
      this.#see(reading, difference);
      await this.#act(reading, difference, tally);
    } catch (caught) {
      error = caught instanceof Error ? caught.message : String(caught);
      if (!this.#stopping.signal.aborted) log.error({ err: caught }, 'the host could not be compared with the journal');
    }
    const runs = this.#leaks.runs + 1;
    const durationMs = Math.round(this.#now() - began);
    this.#leaks = { ...this.#leaks, runs, startedAt, durationMs, error, away, kinds: tally.kinds };
    return this.#leaks;
  }

  /** What was held by name alone is free once every daemon has told, and none has anything of it. */
  #free({ items, away }: HostReading, vacating: readonly DeploymentId[]): void {
    if (vacating.length === 0 || away.size > 0) return;
    const { journal, log } = this.#options;
    const there = new Set(items.map(({ owner }) => ownerOf(journal, owner).id));
    for (const id of vacating) {
      if (there.has(id)) continue;
      journal.vacated(id);
      log.warn({ deployment: id }, 'nothing is left of a deployment whose record was damaged, what it held is free');
    }
  }

  /** Notes what may go one day, and when to look again. */
  #see({ away }: HostReading, { ownerless, strays, missing }: Difference): void {
    const { graceMs, startGraceMs, lookAgainMs, intervalMs } = this.#limits;
    const seen = new Map<string, number>();
    for (const { item, deployment } of ownerless) {
      const isOld = deployment !== undefined && !this.#met.has(item.module);
      seen.set(sightingOf(item), isOld ? startGraceMs : graceMs);
    }
    for (const { item } of strays) seen.set(sightingOf(item), 0);
    const missed = new Map(missing.map(({ holding }) => [keyOf(holding), 0]));
    const now = this.#now();
    const isUnseen = (key: string): boolean => away.has(key.split(' ', 1)[0] as Module);
    this.#sightings.update(seen, isUnseen, now);
    this.#misses.update(missed, isUnseen, now);
    for (const module of MODULES) if (!away.has(module)) this.#met.add(module);
    const waiting = [
      ...[...seen.keys()].map((key) => this.#sightings.remainingMs(key, now)),
      ...[...missed.keys()].map((key) => this.#misses.remainingMs(key, now)),
    ];
    // What may go now goes now, or is tried again with everything else.
    const soonest = Math.min(intervalMs, ...waiting.filter((ms) => ms > 0));
    this.#nextMs = Math.max(lookAgainMs, this.#met.size < MODULES.length ? lookAgainMs : soonest);
  }

  async #act(reading: HostReading, { ownerless, unknown, strays, missing }: Difference, tally: Tally): Promise<void> {
    for (const { item } of [...ownerless, ...strays]) tally.found(item);
    for (const item of unknown) tally.unknown(item);
    for (const { holding } of missing) tally.missing(holding.kind);
    this.#tellUnknown(unknown);
    await this.#removeAll(reading, strays, ownerless, tally);
    const inTheWay = new Set(strays.filter(({ item }) => !this.#isGone(item)).map(({ deployment }) => deployment));
    const { lanes, log } = this.#options;
    const lost = new Set<DeploymentId>();
    for (const { deployment, holding } of missing) {
      if (inTheWay.has(deployment) || this.#misses.remainingMs(keyOf(holding), this.#now()) > 0) continue;
      log.warn({ deployment, ...holding }, 'what a workload needs is not on the host any more');
      this.#count('repairsInAll', holding.kind);
      lost.add(deployment);
    }
    for (const deployment of lost) lanes.recheck(deployment);
  }

  /**
   * In the order in which things can go; what is in use by something that stays, stays. No removal begins after
   * as long as there is between two runs: repairs wait for it.
   */
  async #removeAll(
    { away }: HostReading,
    strays: readonly Leak[],
    ownerless: readonly Leak[],
    tally: Tally,
  ): Promise<void> {
    const { log } = this.#options;
    const leaks = [...strays, ...ownerless];
    const names = new Set(leaks.map(({ item }) => sightingOf(item)));
    for (const name of this.#failed) if (!names.has(name)) this.#failed.delete(name);
    const turnOf = ({ item }: Leak): number => 2 * rankOf(item) + Number(this.#failed.has(sightingOf(item)));
    const ordered = leaks.sort((a, b) => turnOf(a) - turnOf(b));
    const until = this.#now() + this.#limits.intervalMs;
    const held = new Map<DeploymentId, number>();
    let removed = 0;
    let beyond = 0;
    for (const leak of ordered) {
      this.#stopping.signal.throwIfAborted();
      const { item, deployment } = leak;
      const rank = rankOf(item);
      const isHeld = deployment !== undefined && (held.get(deployment) ?? rank) < rank;
      const isDue = this.#sightings.remainingMs(sightingOf(item), this.#now()) === 0;
      const canTell = !usersOf(item.module).some((user) => away.has(user));
      const mayGo = removed < this.#limits.removalsPerRun && this.#now() < until;
      if (isDue && !isHeld && canTell && mayGo) {
        if (await this.#remove(leak, strays.includes(leak))) {
          removed += 1;
          tally.removed(item);
          continue;
        }
      } else if (isDue && !isHeld && canTell) beyond += 1;
      if (deployment !== undefined) held.set(deployment, Math.min(held.get(deployment) ?? rank, rank));
    }
    if (beyond === 0) return;
    const { removalsPerRun } = this.#limits;
    log.error({ removed, left: beyond, removalsPerRun }, 'more without an owner than may be removed in one run');
  }

  /** Whether it is confirmed gone. */
  async #remove({ item, deployment }: Leak, isStray: boolean): Promise<boolean> {
    const { journal, inventories, lanes, log } = this.#options;
    const { module, kind, name, owner } = item;
    let isRemoved = false;
    const remove = async (): Promise<void> => {
      // A deployment may have been accepted since the host was read.
      if (deployment !== undefined) {
        const { standing } = ownerOf(journal, owner);
        if (standing !== (isStray ? 'owned' : 'ownerless')) return;
      }
      const calling = { deadlineMs: this.#limits.callDeadlineMs, signal: this.#stopping.signal };
      await inventories[module].Remove({ kind, name, owner }, calling);
      isRemoved = true;
    };
    try {
      if (deployment === undefined) await remove();
      else if (!(await lanes.aside(deployment, remove))) return false;
    } catch (error) {
      this.#stopping.signal.throwIfAborted();
      this.#count('failedInAll', kind);
      this.#failed.add(sightingOf(item));
      log.error({ err: error, module, kind, name, owner }, 'could not remove what no deployment owns');
      return false;
    }
    if (!isRemoved) return false;
    this.#sightings.forget(sightingOf(item));
    this.#failed.delete(sightingOf(item));
    this.#count('removedInAll', kind);
    log.warn({ module, kind, name, owner, bytes: item.bytes }, 'removed what no deployment owns');
    return true;
  }

  #isGone(item: HostItem): boolean {
    return this.#sightings.remainingMs(sightingOf(item), this.#now()) === Number.POSITIVE_INFINITY;
  }

  #count(sum: 'removedInAll' | 'failedInAll' | 'repairsInAll', kind: string): void {
    this.#leaks = { ...this.#leaks, [sum]: { ...this.#leaks[sum], [kind]: (this.#leaks[sum][kind] ?? 0) + 1 } };
  }

  /** Once for each change: it stays for a person to judge. */
  #tellUnknown(unknown: readonly HostItem[]): void {
    const names = unknown.map(sightingOf).sort();
    const told = names.join('\n');
    if (told === this.#told) return;
    this.#told = told;
    const { log } = this.#options;
    const said = { number: names.length, unknown: names.slice(0, TOLD_AT_ONCE) };
    if (names.length > 0) log.error(said, 'the host holds what this journal never knew; it is left alone');
  }
}

/** Names in one line of the log. */
const TOLD_AT_ONCE = 50;

function sightingOf(item: HostItem): string {
  return `${keyOf(item)} ${item.owner}`;
}
