/** Deadlines and the chain's failures as typed errors. */
import { GridError, isGridError } from '../../schemas/errors/index.ts';

export interface CallLimits {
  /** Milliseconds until the call is given up. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** `work`, or `chain_deadline` after `deadlineMs`, or the signal's reason. `what` names it in errors. */
export async function within<T>(what: string, work: Promise<T>, deadlineMs: number, signal?: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new GridError('chain_deadline', { what, deadlineMs })), deadlineMs);
  const aborted = (): void => reject(signal?.reason as Error);
  if (signal?.aborted === true) aborted();
  signal?.addEventListener('abort', aborted, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', aborted);
  }
}

/** The library's errors: JSON-RPC answers carry a code, a lost socket is told by its text alone. */
export function typedFailure(what: string, endpoints: readonly string[], error: unknown): Error {
  if (isGridError(error)) return error;
  const { code, message, data } = error as { code?: number; message?: string; data?: unknown };
  const text = message ?? String(error);
  if (/not connected|disconnected from|abnormal closure|ECONNREFUSED|No response received/i.test(text)) {
    return new GridError('chain_lost', { what, endpoints: [...endpoints] }, { cause: error });
  }
  if (typeof code === 'number') {
    const reason = typeof data === 'string' && !text.includes(data) ? `${text}: ${data}` : text;
    return new GridError('chain_rejected', { call: what, code, reason }, { cause: error });
  }
  return error instanceof Error ? error : new Error(text);
}
