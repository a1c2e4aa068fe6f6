/** Arguments of a call to bytes, results of an answer to values. */
import { decode, decodeFrom, encode } from './codec.ts';
import type { MethodDefinition } from './definition.ts';
import { within, ZbusError } from './errors.ts';
import { Reader } from './reader.ts';
import type { Wire } from './wire.ts';
import { zeroOf } from './zero.ts';

export function encodeInputs(call: string, method: MethodDefinition, args: Record<string, unknown>): Uint8Array[] {
  const inputs: Uint8Array[] = [];
  let at = '';
  try {
    for (at in method.args) {
      const wire = method.args[at] as Wire;
      if (at !== method.variadic) inputs.push(encode(wire, args[at]));
      else for (const value of args[at] as unknown[]) inputs.push(encode(wire, value));
    }
  } catch (error) {
    const cause = within(at, error);
    throw new ZbusError('protocol', `${call}: ${(cause as Error).message}; the call was not sent`, { call, cause });
  }
  return inputs;
}

/** The value, the tuple of values, or nothing, as the method returns them. */
export function decodeReturns(method: MethodDefinition, data: Uint8Array | null): unknown {
  const [only, ...more] = method.returns;
  if (only === undefined) return undefined;
  const bytes = data ?? new Uint8Array(0);
  if (more.length === 0) return decode(only, bytes);
  const reader = new Reader(bytes);
  const length = reader.nil() ? 0 : reader.arrayLength();
  // As in Go, a value that is missing or nil has the zero of its type.
  return method.returns.map((wire, index) =>
    index >= length || reader.nil() ? zeroOf(wire, false) : decodeFrom(reader, wire, false),
  );
}

/** Runs `read`; what it cannot read is an error of the call. */
export function readAnswer<T>(call: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const message = `${call}: the answer cannot be read (${(cause as Error).message}); module and caller disagree on its type`;
    throw new ZbusError('protocol', message, { call, cause });
  }
}
