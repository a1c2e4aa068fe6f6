/** Network counters of machines, summed over their taps. Pure. */
import type { NetMetric } from '../zbus/gridtypes.ts';
import type { Infer } from '../zbus/wire.ts';
import type { MachineMetric } from './interface.ts';
import type { TapCounters } from './taps.ts';

type Counters = Infer<typeof NetMetric>;

const NONE: Counters = { NetRxPackets: 0, NetRxBytes: 0, NetTxPackets: 0, NetTxBytes: 0 };

/** Which sum a tap counts to, by the prefix that networkd names it with. */
function kindOf(tap: string): 'Private' | 'Public' | undefined {
  if (/^[tbm]-/.test(tap)) return 'Private';
  return tap.startsWith('p-') ? 'Public' : undefined;
}

/** Bytes and packets as the guest sees them: what the host sends into the tap is what the guest receives. */
export function machineMetric(
  names: readonly string[],
  taps: ReadonlyMap<string, TapCounters>,
): Infer<typeof MachineMetric> {
  const sums = { Private: NONE, Public: NONE };
  for (const name of names) {
    const kind = kindOf(name);
    const counters = taps.get(name);
    if (kind === undefined || counters === undefined) continue;
    const sum = sums[kind];
    sums[kind] = {
      NetRxPackets: sum.NetRxPackets + counters.txPackets,
      NetRxBytes: sum.NetRxBytes + counters.txBytes,
      NetTxPackets: sum.NetTxPackets + counters.rxPackets,
      NetTxBytes: sum.NetTxBytes + counters.rxBytes,
    };
  }
  return sums;
}
