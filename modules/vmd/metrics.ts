/** Network counters of machines, read from their taps. */
import { readFile } from 'node:fs/promises';
import type { NetMetric } from '../zbus/gridtypes.ts';
import type { Infer } from '../zbus/wire.ts';
import type { MachineMetric } from './interface.ts';

type Counters = Infer<typeof NetMetric>;

const NONE: Counters = { NetRxPackets: 0, NetRxBytes: 0, NetTxPackets: 0, NetTxBytes: 0 };

/** Which sum a tap counts to, by the prefix that networkd names it with. */
function kindOf(tap: string): 'Private' | 'Public' | undefined {
  if (/^[tbm]-/.test(tap)) return 'Private';
  return tap.startsWith('p-') ? 'Public' : undefined;
}

/** Bytes and packets as the guest sees them: what leaves the host's tap is what the guest receives. */
export async function machineMetric(taps: readonly string[]): Promise<Infer<typeof MachineMetric>> {
  const sums = { Private: NONE, Public: NONE };
  for (const tap of taps) {
    const kind = kindOf(tap);
    if (kind !== undefined) sums[kind] = add(sums[kind], await tapCounters(tap));
  }
  return sums;
}

async function tapCounters(tap: string): Promise<Counters> {
  const read = async (name: string): Promise<number> => {
    const text = await readFile(`/sys/class/net/${tap}/statistics/${name}`, 'utf8').catch(() => '0');
    return Number(text);
  };
  const [NetRxPackets, NetRxBytes, NetTxPackets, NetTxBytes] = await Promise.all([
    read('tx_packets'),
    read('tx_bytes'),
    read('rx_packets'),
    read('rx_bytes'),
  ]);
  return { NetRxPackets, NetRxBytes, NetTxPackets, NetTxBytes };
}

function add(a: Counters, b: Counters): Counters {
  return {
    NetRxPackets: a.NetRxPackets + b.NetRxPackets,
    NetRxBytes: a.NetRxBytes + b.NetRxBytes,
    NetTxPackets: a.NetTxPackets + b.NetTxPackets,
    NetTxBytes: a.NetTxBytes + b.NetTxBytes,
  };
}
