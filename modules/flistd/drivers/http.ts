/** HTTP GET with a deadline, a size limit and a budget of retries. */
import { setTimeout as delay } from 'node:timers/promises';
import { type AddressGuard, UnusableAddressError } from '../../host/addresses.ts';
import { BodyLimitError, type Fetched, get } from './request.ts';

export interface FetchOptions {
  readonly guard: AddressGuard;
  /** Milliseconds for one attempt, connection and body together. */
  readonly deadlineMs: number;
  readonly limitBytes: number;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal | undefined;
}

/** Retries that may be spent together, so that a flapping host cannot hold a mount for ever. */
export class RetryBudget {
  #left: number;

  constructor(retries: number) {
    this.#left = retries;
  }

  spend(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}

/** No usable answer: why, and after how many attempts. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
  readonly attempts: number;

  constructor(reason: string, attempts: number, cause: unknown) {
    super(reason, { cause });
    this.attempts = attempts;
  }
}

const ATTEMPTS = 3;
const PAUSE_MS = 200;

function isTransient(status: number): boolean {
  return status === 429 || (status >= 500 && status !== 501);
}

/** An address without user, password and query, for logs and errors. */
export function shownUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return url.slice(0, 200);
  }
}

async function attempt(url: string, options: FetchOptions): Promise<Fetched> {
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  try {
    return await get(new URL(url), { ...options, signal });
  } catch (error) {
    // An aborted request fails with whatever it was at.
    deadline.throwIfAborted();
    throw error;
  }
}

function reasonOf(error: unknown, deadlineMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${deadlineMs} ms`;
  // One for each address of the name.
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message;
  return error.message;
}

/**
 * Any answer but a transient one. Connection failures and transient answers
 * are tried again, an expired deadline is not.
 * @throws FetchError, BodyLimitError, UnusableAddressError; the signal's reason when it was aborted
 */
export async function fetchBounded(url: string, budget: RetryBudget, options: FetchOptions): Promise<Fetched> {
  for (let tried = 1; ; tried++) {
    let failure: FetchError;
    try {
      const found = await attempt(url, options);
      if (!isTransient(found.status)) return found;
      failure = new FetchError(`${found.status} ${found.statusText}`, tried, undefined);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof BodyLimitError || error instanceof UnusableAddressError) throw error;
      failure = new FetchError(reasonOf(error, options.deadlineMs), tried, error);
      if ((error as Error).name === 'TimeoutError') throw failure;
    }
    if (tried >= ATTEMPTS || !budget.spend()) throw failure;
    await delay(PAUSE_MS * tried, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}
