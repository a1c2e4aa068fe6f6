/** The network devices of vmd's own network namespace and their counters. */
import { readFile } from 'node:fs/promises';

export interface TapCounters {
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly txBytes: number;
  readonly txPackets: number;
}

/**
 * Counters by device name, the host's view. Read from `/proc`, which always
 * shows the caller's network namespace; a mounted `/sys` may show another one.
 */
export async function readTaps(): Promise<Map<string, TapCounters>> {
  const text = await readFile('/proc/self/net/dev', 'utf8');
  const taps = new Map<string, TapCounters>();
  for (const line of text.split('\n').slice(2)) {
    const [, name, numbers] = /^\s*([^:]+):\s*(.+)$/.exec(line) ?? [];
    if (name === undefined || numbers === undefined) continue;
    const field = numbers.trim().split(/\s+/).map(Number);
    const at = (index: number): number => field[index] ?? 0;
    taps.set(name, { rxBytes: at(0), rxPackets: at(1), txBytes: at(8), txPackets: at(9) });
  }
  return taps;
}
