/** Flags of the simulated node's processes that say what machine it pretends to be. */

import { type SimulatedHost, simulatedHost } from '../modules/host/simulation.ts';
import { GridError } from '../schemas/errors/index.ts';

/** The machine that is pretended: logical CPUs, and bytes. */
export interface SimulatedMachineSize {
  readonly cru: number;
  readonly mru: number;
  readonly sru: number;
  readonly hru: number;
}

export const sizeOptions = {
  cru: { type: 'string' },
  mru: { type: 'string' },
  sru: { type: 'string' },
  hru: { type: 'string' },
} as const;

export const hostOptions = {
  'delay-ms': { type: 'string', default: '0' },
  fail: { type: 'string', multiple: true, default: [] as string[] },
} as const;

/** Throws `Error` naming the flag. */
export function readSize(
  values: { readonly [K in keyof typeof sizeOptions]?: string | undefined },
): SimulatedMachineSize {
  const whole = (name: keyof typeof sizeOptions): number => {
    const value = Number(values[name]);
    if (!/^\d+$/.test(values[name] ?? '') || !Number.isSafeInteger(value)) {
      throw new Error(`--${name} takes a whole number, not '${values[name]}'`);
    }
    return value;
  };
  return { cru: whole('cru'), mru: whole('mru'), sru: whole('sru'), hru: whole('hru') };
}

/** A host that takes `--delay-ms` for each change and fails those that match a `--fail` pattern. */
export function readHost(values: { readonly 'delay-ms': string; readonly fail: readonly string[] }): SimulatedHost {
  const patterns = values.fail.map((text) => new RegExp(text));
  return simulatedHost({
    delayMs: Number(values['delay-ms']),
    refuse: (call) => {
      const pattern = patterns.find((one) => one.test(call));
      if (pattern !== undefined) throw new GridError('simulation_told_to_fail', { call, pattern: pattern.source });
    },
  });
}
