/** How a call ends without an answer, in words that say what may have happened and what to do. */
import { ZbusError } from './errors.ts';
import { FRAME_MOST_BYTES } from './limits.ts';
import { BrokerRefusal } from './resp.ts';

export function notServed(call: string, waitedMs: number, objects: ReadonlySet<string>): ZbusError {
  return new ZbusError(
    'protocol',
    `${call}: unknown object, the module serves ${[...objects].join(', ') || 'none'};` +
      ' the call was withdrawn and will not run',
    { call, waitedMs },
  );
}

/** The module answered that it never ran the call, or that it panicked in it. */
export function refusedBy(call: string, protocolError: string): ZbusError {
  return new ZbusError('protocol', `${call}: ${protocolError}`, { call });
}

export function tooLarge(call: string, bytes: number): ZbusError {
  return new ZbusError(
    'protocol',
    `${call}: the request has ${bytes} bytes, more than the ${FRAME_MOST_BYTES} of a message of the bus; the call was not sent`,
    { call },
  );
}

/** A refusal of the broker has no effect; what a lost connection had is unknown. */
export function notSent(call: string, waitedMs: number, cause: unknown): ZbusError {
  const text =
    cause instanceof BrokerRefusal
      ? `the broker refused the call (${cause.message}); the call was not sent`
      : 'the broker was lost while the call was sent; it may or may not run, check before repeating it';
  return new ZbusError('bus_lost', `${call}: ${text}`, { call, waitedMs, cause });
}

/** An error of the connection, told as the error of one call. */
export function inCall(call: string, waitedMs: number, error: unknown): unknown {
  if (!(error instanceof ZbusError) || error.call !== undefined) return error;
  const { kind, message, cause } = error;
  return new ZbusError(kind, `${call}: ${message} (after ${waitedMs} ms)`, { call, waitedMs, cause });
}

export function refusal(
  call: string,
  kind: 'deadline' | 'cancelled',
  found: { withdrawn: boolean; silent: boolean; waitedMs: number },
): ZbusError {
  const { withdrawn, silent, waitedMs } = found;
  const context = { call, waitedMs };
  if (kind === 'cancelled') {
    const effect = withdrawn
      ? 'the call was withdrawn and will not run'
      : 'the call was already taken and may finish; the module was told';
    return new ZbusError('cancelled', `${call}: given up by the caller after ${waitedMs} ms; ${effect}`, context);
  }
  if (!withdrawn) {
    return new ZbusError(
      'deadline',
      `${call}: no answer within ${waitedMs} ms; the call was taken and may still finish, check before repeating it`,
      context,
    );
  }
  if (silent) {
    return new ZbusError(
      'no_such_module',
      `${call}: nothing took the call for ${waitedMs} ms and the module does not answer its status;` +
        ' the call was withdrawn and will not run, check that the module is running',
      context,
    );
  }
  return new ZbusError(
    'busy',
    `${call}: the module lives but did not take the call within ${waitedMs} ms;` +
      ' the call was withdrawn and will not run, try again later or with a longer deadline',
    context,
  );
}
