/** How many deployments run, wait and leave, as running totals. */
import type { Counts, DeploymentId, DeploymentRecord } from './journal.ts';
import { isLeaving } from './unfinished.ts';

/** What one deployment adds to the totals. */
interface Share {
  readonly running: number;
  /** Unix seconds: the newest state of what runs, 0 when nothing does. */
  readonly newest: number;
  readonly waiting: number;
  /** Unix seconds: since when the first of it waits, 0 when nothing does. */
  readonly since: number;
  readonly leaving: number;
}

const NOTHING: Share = { running: 0, newest: 0, waiting: 0, since: 0, leaving: 0 };

export class Census implements Counts {
  /** Deployments with a workload that runs or stands still. */
  runningDeployments = 0;
  runningWorkloads = 0;
  /** Deployments with something that was accepted and is not settled. */
  waitingDeployments = 0;
  /** Workloads to be made or changed. */
  waitingWorkloads = 0;
  /** Workloads that are to go away and still hold something. */
  leavingWorkloads = 0;
  readonly #shares = new Map<DeploymentId, Share>();
  readonly #newest = new Times(Math.max);
  readonly #since = new Times(Math.min);

  replace(id: DeploymentId, record: DeploymentRecord | undefined): void {
    const before = this.#shares.get(id) ?? NOTHING;
    const after = record === undefined ? NOTHING : shareOf(record);
    this.#count(before, -1);
    this.#count(after, 1);
    if (after === NOTHING) this.#shares.delete(id);
    else this.#shares.set(id, after);
  }

  /** Unix seconds: the newest change of state of what runs, 0 when nothing does. */
  get newestRunning(): number {
    return this.#newest.edge;
  }

  /** Unix seconds: since when the oldest of what was accepted waits, 0 when nothing does. */
  get waitingSince(): number {
    return this.#since.edge;
  }

  #count({ running, newest, waiting, since, leaving }: Share, sign: 1 | -1): void {
    this.runningWorkloads += sign * running;
    this.waitingWorkloads += sign * waiting;
    this.leavingWorkloads += sign * leaving;
    if (running > 0) {
      this.runningDeployments += sign;
      this.#newest.change(newest, sign);
    }
    if (waiting > 0) {
      this.waitingDeployments += sign;
      this.#since.change(since, sign);
    }
  }
}

function shareOf({ cancelled, workloads }: DeploymentRecord): Share {
  let { running, newest, waiting, since, leaving } = NOTHING as { -readonly [K in keyof Share]: number };
  for (const workload of workloads) {
    const { state, created, next, removal } = workload;
    if (state === 'ok' || state === 'paused') {
      running += 1;
      newest = Math.max(newest, created);
    }
    if (isLeaving(workload)) leaving += 1;
    const asked = state === 'init' ? created : next?.askedAt;
    if (cancelled !== undefined || removal !== undefined || asked === undefined) continue;
    since = waiting === 0 ? asked : Math.min(since, asked);
    waiting += 1;
  }
  return { running, newest, waiting, since, leaving };
}

/** Times with how often each is there, and the first or last of them. */
class Times {
  readonly #counts = new Map<number, number>();
  readonly #furthest: (...times: number[]) => number;
  #edge: number | undefined;

  constructor(furthest: (...times: number[]) => number) {
    this.#furthest = furthest;
  }

  /** 0 when there is none. */
  get edge(): number {
    if (this.#counts.size === 0) return 0;
    // Looked for again only after the last at the edge went.
    this.#edge ??= this.#counts.keys().reduce((one, other) => this.#furthest(one, other));
    return this.#edge;
  }

  change(time: number, sign: 1 | -1): void {
    const count = (this.#counts.get(time) ?? 0) + sign;
    if (count > 0) this.#counts.set(time, count);
    else this.#counts.delete(time);
    if (sign === 1 && this.#edge !== undefined) this.#edge = this.#furthest(this.#edge, time);
    else if (sign === -1 && count === 0 && time === this.#edge) this.#edge = undefined;
  }
}
