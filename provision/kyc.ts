/** Whether the service that knows verified users knows a twin: asked once, with a limit, and remembered for a while. */
import { LRUCache } from 'lru-cache';
import { GridError, isGridError } from '../schemas/errors/index.ts';

export interface VerifiedUsersLimits {
  /** Milliseconds until the service must have answered. */
  readonly deadlineMs: number;
  /** Milliseconds that a yes is believed. */
  readonly yesMs: number;
  /** Milliseconds that a no is repeated: who was just verified should not wait long. */
  readonly noMs: number;
  /** Answers kept. */
  readonly size: number;
  /** Questions under way at once. */
  readonly atOnce: number;
}

export const VERIFIED_USERS_LIMITS: VerifiedUsersLimits = {
  deadlineMs: 5_000,
  yesMs: 3_600_000,
  noMs: 10_000,
  size: 4096,
  atOnce: 64,
};

/**
 * What a check came to: the service said yes (`ok`) or no (`refused`), it gave no answer that counts
 * (`unreachable`), what it said before was repeated (`cached`), or who asked did not wait (`left`).
 */
export type CheckResult = 'ok' | 'refused' | 'unreachable' | 'cached' | 'left';

/** Hears of each check and how long it took. */
export type OnCheck = (result: CheckResult, seconds: number) => void;

/** The answer is one short JSON object. */
const ANSWER_LIMIT_BYTES = 64 * 1024;

export class VerifiedUsers {
  readonly #baseUrl: string;
  readonly #limits: VerifiedUsersLimits;
  readonly #onCheck: OnCheck;
  readonly #known: LRUCache<number, boolean>;
  readonly #asking = new Map<number, Promise<boolean>>();

  /** `baseUrl` of the service. */
  constructor(
    baseUrl: string,
    limits: VerifiedUsersLimits = VERIFIED_USERS_LIMITS,
    onCheck: OnCheck = () => undefined,
  ) {
    this.#baseUrl = baseUrl;
    this.#limits = limits;
    this.#onCheck = onCheck;
    this.#known = new LRUCache({ max: limits.size });
  }

  /**
   * Returns for a verified twin. Throws `twin_unverified` for any other, and the retryable
   * `twin_verification_failed` when the service does not say, within the limit.
   */
  async check(twin: number, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    const told = (result: CheckResult): void => this.#onCheck(result, (performance.now() - began) / 1000);
    const known = this.#known.get(twin);
    const isVerified = known ?? (await this.#answer(twin, signal, told));
    if (known !== undefined) told('cached');
    if (!isVerified) throw new GridError('twin_unverified', { twin });
  }

  async #answer(twin: number, signal: AbortSignal, told: (result: CheckResult) => void): Promise<boolean> {
    try {
      const isVerified = await unless(signal, this.#ask(twin));
      told(isVerified ? 'ok' : 'refused');
      return isVerified;
    } catch (error) {
      told(isGridError(error, 'twin_verification_failed') ? 'unreachable' : 'left');
      throw error;
    }
  }

  /** One question a twin, whoever waits for it. */
  #ask(twin: number): Promise<boolean> {
    const running = this.#asking.get(twin);
    if (running !== undefined) return running;
    if (this.#asking.size >= this.#limits.atOnce) {
      const reason = `${this.#asking.size} questions are under way already`;
      return Promise.reject(new GridError('twin_verification_failed', { reason }));
    }
    const asking = this.#fetch(twin)
      .then((isVerified) => {
        this.#known.set(twin, isVerified, { ttl: isVerified ? this.#limits.yesMs : this.#limits.noMs });
        return isVerified;
      })
      .finally(() => this.#asking.delete(twin));
    this.#asking.set(twin, asking);
    return asking;
  }

  async #fetch(twin: number): Promise<boolean> {
    const { deadlineMs } = this.#limits;
    const limit = AbortSignal.timeout(deadlineMs);
    try {
      const url = new URL('/api/v1/status', this.#baseUrl);
      url.searchParams.set('twin_id', String(twin));
      const answer = await fetch(url, { signal: limit, redirect: 'error' });
      if (!answer.ok) {
        await answer.body?.cancel();
        throw new Error(`status ${answer.status}`);
      }
      const parsed = JSON.parse(await shortText(answer)) as { result?: { status?: unknown } } | null;
      const status = parsed?.result?.status;
      if (typeof status !== 'string') throw new Error('its answer has no status');
      return status === 'VERIFIED';
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error);
      const reason = limit.aborted ? `the service did not answer within ${deadlineMs} ms` : failure;
      throw new GridError('twin_verification_failed', { reason }, { cause: error });
    }
  }
}

async function shortText(answer: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer.body ?? []) {
    bytes += part.length;
    if (bytes > ANSWER_LIMIT_BYTES) throw new Error(`its answer is longer than ${ANSWER_LIMIT_BYTES} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/** What others wait for, too, goes on when one of them leaves. */
async function unless<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const left = Promise.withResolvers<never>();
  const leave = (): void => left.reject(signal.reason as Error);
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([work, left.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
