/** HTTP GET with a deadline, a size limit and a budget of retries. */
import { setTimeout as delay } from 'node:timers/promises';

export interface Fetched {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  readonly body: Buffer;
}

export interface FetchOptions {
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

/** An answer longer than allowed. */
export class BodyLimitError extends Error {
  override readonly name = 'BodyLimitError';
}

/** No request can ever be made to this address. */
export class UnusableAddressError extends Error {
  override readonly name = 'UnusableAddressError';
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

/** Ports of other services, to which `fetch` makes no request; it has only this word for it. */
function isPortRefused(error: unknown): boolean {
  return error instanceof TypeError && error.cause instanceof Error && error.cause.message === 'bad port';
}

async function attempt(url: string, options: FetchOptions): Promise<Fetched> {
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  const response = await fetch(url, { signal, headers: options.headers ?? {} });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > options.limitBytes) throw new BodyLimitError(`the answer has more than ${options.limitBytes} bytes`);
    chunks.push(chunk);
  }
  const { status, statusText, headers } = response;
  return { status, statusText, headers, body: Buffer.concat(chunks) };
}

function reasonOf(error: unknown, deadlineMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${deadlineMs} ms`;
  const cause = error.cause;
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message;
  return cause instanceof Error ? cause.message : error.message;
}

/**
 * Any answer but a transient one. Connection failures and transient answers
 * are tried again, an expired deadline is not.
 * @throws FetchError, BodyLimitError, UnusableAddressError; the signal's reason when it was aborted
 */
export async function fetchBounded(url: string, budget: RetryBudget, options: FetchOptions): Promise<Fetched> {
  const { port } = new URL(url);
  if (port === '0') throw new UnusableAddressError('port 0 is no port');
  for (let tried = 1; ; tried++) {
    let failure: FetchError;
    try {
      const found = await attempt(url, options);
      if (!isTransient(found.status)) return found;
      failure = new FetchError(`${found.status} ${found.statusText}`, tried, undefined);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof BodyLimitError) throw error;
      if (isPortRefused(error)) throw new UnusableAddressError(`port ${port} belongs to another service than HTTP`);
      failure = new FetchError(reasonOf(error, options.deadlineMs), tried, error);
      if ((error as Error).name === 'TimeoutError') throw failure;
    }
    if (tried >= ATTEMPTS || !budget.spend()) throw failure;
    await delay(PAUSE_MS * tried, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}
