/** What is known of each endpoint, and which one is the next to be used. Keeps no connection itself. */

export interface EndpointLimits {
  /** Milliseconds until a socket must be open. */
  readonly connectMs: number;
  /** Milliseconds until a question must be answered. */
  readonly answerMs: number;
  /** Milliseconds between two looks at the final block of the endpoint in use. */
  readonly probeMs: number;
  /** Final blocks that an endpoint may be behind the newest one known. */
  readonly lagBlocks: number;
  /** Milliseconds that final blocks may stand still before the others are asked whether theirs do. */
  readonly stallMs: number;
  /** Milliseconds between two looks at the endpoints that are not in use. */
  readonly surveyMs: number;
  /** The first look comes soon: nobody knows yet whether the endpoint in use is in step. */
  readonly firstSurveyMs: number;
  /** Milliseconds until an endpoint that failed is tried again: doubled with each failure, at most `retryMostMs`. */
  readonly retryMs: number;
  readonly retryMostMs: number;
  /** Milliseconds that an earlier endpoint is left alone after it was left; doubled each time, at most 16 times as long. */
  readonly returnMs: number;
}

export const ENDPOINT_LIMITS: EndpointLimits = {
  connectMs: 5_000,
  answerMs: 10_000,
  probeMs: 5_000,
  lagBlocks: 10,
  stallMs: 30_000,
  surveyMs: 300_000,
  firstSurveyMs: 5_000,
  retryMs: 250,
  retryMostMs: 5_000,
  returnMs: 60_000,
};

/** Why an endpoint is not used. `lost` is every failure of its socket. */
export type Problem = 'lost' | 'silent' | 'lagging' | 'syncing' | 'pruned' | 'genesis' | 'restarted' | 'runtime';

/** By which a chain is known again. */
export interface ChainOrigin {
  /** Hex hash of block 0; the same for every development chain that begins from zero. */
  readonly genesis: string;
  /** Hex hash of block 1, empty where it is not final yet or the endpoint does not tell. */
  readonly first: string;
}

/** What an endpoint said when it was asked whether it may be used. */
export interface Verdict extends ChainOrigin {
  readonly problem: Problem | undefined;
  /** Number of its newest final block. */
  readonly final: number;
}

export interface EndpointState {
  readonly url: string;
  readonly problem: Problem | undefined;
  readonly reason: string;
  /** Newest final block it told of, 0 when it never did. */
  readonly final: number;
  readonly inUse: boolean;
}

interface Entry {
  readonly url: string;
  problem: Problem | undefined;
  reason: string;
  final: number;
  origin: ChainOrigin;
  failures: number;
  retryAt: number;
  /** How often it was left lately. */
  drops: number;
  leftAt: number;
}

const MOST_DROPS = 4;
const UNKNOWN: ChainOrigin = { genesis: '', first: '' };
/** What of a chain no endpoint may be used for, however long one waits. */
const MISFITS: ReadonlySet<Problem | undefined> = new Set<Problem>(['genesis', 'restarted']);

export class EndpointBook {
  readonly #entries: readonly Entry[];
  readonly #limits: EndpointLimits;
  #inUse: string | undefined;
  #best = 0;

  /** In the order of preference. */
  constructor(urls: readonly string[], limits: EndpointLimits) {
    this.#limits = limits;
    this.#entries = [...new Set(urls)].map((url) => ({
      ...{ url, problem: undefined, reason: '', final: 0, origin: UNKNOWN, failures: 0, retryAt: 0, drops: 0 },
      leftAt: Number.NEGATIVE_INFINITY,
    }));
  }

  get states(): EndpointState[] {
    return this.#entries.map(({ url, problem, reason, final }) => ({
      ...{ url, problem, reason, final },
      inUse: url === this.#inUse,
    }));
  }

  get inUse(): string | undefined {
    return this.#inUse;
  }

  /** The newest final block that any endpoint told of. */
  get best(): number {
    return this.#best;
  }

  finalSeen(number: number): void {
    this.#best = Math.max(this.#best, number);
  }

  isLagging(final: number): boolean {
    return final < this.#best - this.#limits.lagBlocks;
  }

  /** The first that may be tried now; those whose last answer was good stand before those that nobody knows to be. */
  due(now: number): string | undefined {
    const due = this.#entries.filter(({ retryAt }) => retryAt <= now);
    return (due.find(isGood) ?? due[0])?.url;
  }

  /** When the next may be tried. */
  get dueAt(): number {
    return Math.min(...this.#entries.map(({ retryAt }) => retryAt));
  }

  /** The one that is least behind, where every endpoint was tried and none is better than that. */
  get laggard(): string | undefined {
    const behind = this.#entries.filter(({ problem }) => problem === 'lagging');
    return behind.sort((one, other) => other.final - one.final)[0]?.url;
  }

  /** What was found where every endpoint serves another chain than asked for, or one that began anew. */
  get misfit(): { readonly url: string; readonly problem: Problem; readonly found: ChainOrigin } | undefined {
    const [first] = this.#entries;
    if (first?.problem === undefined || this.#entries.some(({ problem }) => !MISFITS.has(problem))) return undefined;
    return { url: this.#entries.map(({ url }) => url).join(', '), problem: first.problem, found: first.origin };
  }

  /** Its answers to the questions of a survey or a start. */
  judged(url: string, { problem, genesis, first, final }: Verdict, reason: string, now: number): void {
    const entry = this.#of(url);
    entry.origin = { genesis, first };
    entry.final = final;
    if (problem !== undefined) this.failed(url, problem, reason, now);
    else {
      entry.problem = undefined;
      entry.reason = '';
      entry.retryAt = 0;
      this.finalSeen(final);
    }
  }

  /** It could not be used. */
  failed(url: string, problem: Problem, reason: string, now: number): void {
    const entry = this.#of(url);
    const { retryMs, retryMostMs } = this.#limits;
    entry.problem = problem;
    entry.reason = reason;
    // Nodes that lost the same endpoint must not all come back at one instant.
    entry.retryAt =
      now + Math.min(retryMostMs, retryMs * 2 ** Math.min(entry.failures, 16)) * (0.75 + Math.random() / 2);
    entry.failures += 1;
  }

  used(url: string): void {
    this.#inUse = url;
  }

  /** It told of its newest final block while it was in use; says whether it may stay. */
  progressed(url: string, final: number): void {
    const entry = this.#of(url);
    entry.final = final;
    if (this.isLagging(final)) return;
    this.finalSeen(final);
    entry.failures = 0;
    entry.problem = undefined;
  }

  /** It is not in use any more; with a problem it was left for that. */
  left(url: string, problem: Problem | undefined, reason: string, now: number): void {
    this.#inUse = undefined;
    if (problem === undefined) return;
    const entry = this.#of(url);
    // One that served well for long begins anew.
    if (now - entry.leftAt > this.#limits.returnMs * 2 ** (MOST_DROPS + 1)) entry.drops = 0;
    entry.drops = Math.min(MOST_DROPS, entry.drops + 1);
    entry.leftAt = now;
    this.failed(url, problem, reason, now);
  }

  originOf(url: string): ChainOrigin {
    return this.#of(url).origin;
  }

  /** The others, in the order of preference. */
  get others(): string[] {
    return this.#entries.map(({ url }) => url).filter((url) => url !== this.#inUse);
  }

  /**
   * The endpoint that is better than the one in use, going by what was heard last: any good one where
   * that lags, an earlier one that has been left alone long enough where it does not.
   */
  better(now: number): string | undefined {
    const current = this.#entries.findIndex(({ url }) => url === this.#inUse);
    const present = this.#entries[current];
    if (present === undefined) return undefined;
    const isBad = this.isLagging(present.final);
    const good = this.#entries.filter((entry) => entry !== present && isGood(entry) && !this.isLagging(entry.final));
    if (isBad) return good[0]?.url;
    const { returnMs } = this.#limits;
    return good.find(
      (entry) =>
        this.#entries.indexOf(entry) < current && now - entry.leftAt >= returnMs * 2 ** Math.max(0, entry.drops - 1),
    )?.url;
  }

  #of(url: string): Entry {
    const entry = this.#entries.find((one) => one.url === url);
    if (entry === undefined) throw new Error(`no endpoint ${url}`);
    return entry;
  }
}

/** Was asked, and may be used by what it said. */
function isGood({ problem, origin }: Entry): boolean {
  return problem === undefined && origin.genesis !== '';
}
