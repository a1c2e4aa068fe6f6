/** What can go wrong on the bus. */

export type ZbusErrorKind =
  /** Nothing serves the module: its status object is silent and the call was not taken. */
  | 'no_such_module'
  /** The module lives but did not take the call in time; the call was withdrawn and will not run. */
  | 'busy'
  /** The method ran and returned an error; `message` is its text. */
  | 'call_failed'
  /** The connection to the broker was lost; whether the call ran is unknown. */
  | 'bus_lost'
  /** The call was taken but not answered in time; whether it finishes is unknown. */
  | 'deadline'
  /** The caller gave up. */
  | 'cancelled'
  /** Caller and module disagree: unknown object or method, wrong arguments, undecodable answer, panic. */
  | 'protocol';

/** Code and details of a `GridError` thrown in the module. */
export interface RemoteError {
  readonly code: string;
  readonly details: unknown;
}

/** The error table's code for a call that may be made again. */
export const INTERRUPTED = 'bus_call_interrupted';

export interface ZbusErrorContext {
  /** `module.object@version.Method`, or the module for status. */
  readonly call?: string | undefined;
  readonly waitedMs?: number | undefined;
  readonly remote?: RemoteError | undefined;
  readonly cause?: unknown;
}

export class ZbusError extends Error {
  override readonly name = 'ZbusError';
  readonly kind: ZbusErrorKind;
  readonly call: string | undefined;
  /** Milliseconds between the start of the call and this error. */
  readonly waitedMs: number | undefined;
  readonly remote?: RemoteError;

  constructor(kind: ZbusErrorKind, message: string, context: ZbusErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.kind = kind;
    this.call = context.call;
    this.waitedMs = context.waitedMs;
    if (context.remote !== undefined) this.remote = context.remote;
  }
}

export function isZbusError(value: unknown, kind?: ZbusErrorKind): value is ZbusError {
  return value instanceof ZbusError && (kind === undefined || value.kind === kind);
}

/** A value that a Go type cannot hold, or bytes that are not a value of it. */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly reason: string;
  /** Where in the value, as `Workloads[0].Data`; empty for the value itself. */
  readonly path: string;

  constructor(reason: string, path = '') {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.reason = reason;
    this.path = path;
  }
}

/** The same error seen from the value that contains it; other errors as they are. */
export function within(segment: string, error: unknown): unknown {
  if (!(error instanceof WireError)) return error;
  const joint = error.path === '' || error.path.startsWith('[') ? '' : '.';
  return new WireError(error.reason, `${segment}${joint}${error.path}`);
}
