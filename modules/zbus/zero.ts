/** The value a Go variable has before anything is assigned to it. */
import { ZERO_TIME } from './gotime.ts';
import type { Infer, Wire } from './wire.ts';

export function zero<W extends Wire>(wire: W): Infer<W> {
  return zeroOf(wire, false) as Infer<W>;
}

/** `raw` gives nil slices and maps as `null`, which is how Go sends zero values. */
export function zeroOf(wire: Wire, raw: boolean): unknown {
  switch (wire.kind) {
    case 'bool':
      return false;
    case 'string':
      return '';
    case 'bytes':
    case 'pointer':
    case 'any':
      return null;
    case 'fixed':
      return new Uint8Array(wire.length);
    case 'int64':
    case 'uint64':
      return wire.carrier === 'bigint' ? 0n : 0;
    case 'time':
      return ZERO_TIME;
    case 'opaque':
      return {};
    case 'slice':
      return raw ? null : [];
    case 'map':
      return raw ? null : new Map();
    case 'struct':
      return Object.fromEntries(wire.fields.map(([name, of]) => [name, zeroOf(of, raw)]));
    default:
      return 0;
  }
}
