/** The streams of the node's counters, with what can only be told between two readings. */
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../zbus/gotime.ts';
import type { Infer } from '../zbus/wire.ts';
import type { CpuTimes, Host, NicCounters } from './drivers/host.ts';
import type { DisksIOCountersStat, NicsIOCounterStat, TimesStat, VirtualMemoryStat } from './interface.ts';

/** As existing nodes have it. */
export const PERIOD_MS = 2_000;
const NANOSECONDS = 1e9;

/** What `read` gives, every period until the signal aborts. */
async function* periodic<T>(signal: AbortSignal, periodMs: number, read: () => Promise<T>): AsyncGenerator<T> {
  for (;;) {
    await sleep(periodMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    yield await read();
  }
}

export class Monitor {
  readonly #host: Host;
  readonly #periodMs: number;

  constructor(host: Host, periodMs = PERIOD_MS) {
    this.#host = host;
    this.#periodMs = periodMs;
  }

  cpu(signal: AbortSignal): AsyncGenerator<Infer<typeof TimesStat>> {
    let before: CpuTimes | undefined;
    return periodic(signal, this.#periodMs, async () => {
      const times = await this.#host.cpuTimes();
      const percent = busyPercent(before, times);
      before = times;
      return { CPU: 'cpu-total', ...times, Percent: percent, Time: now() };
    });
  }

  memory(signal: AbortSignal): AsyncGenerator<Infer<typeof VirtualMemoryStat>> {
    return periodic(signal, this.#periodMs, () => this.#host.memory());
  }

  disks(signal: AbortSignal): AsyncGenerator<Infer<typeof DisksIOCountersStat>> {
    return periodic(signal, this.#periodMs, async () => {
      const disks = await this.#host.disks();
      return new Map(disks.map((disk) => [disk.Name, { ...disk, Time: now() }]));
    });
  }

  nics(signal: AbortSignal): AsyncGenerator<Infer<typeof NicsIOCounterStat>> {
    let before = new Map<string, NicCounters>();
    let beforeAt = performance.now();
    return periodic(signal, this.#periodMs, async () => {
      const nics = await this.#host.nics();
      const at = performance.now();
      const seconds = (at - beforeAt) / 1000;
      const told = nics.map((nic) => ({ ...nic, ...ratesOf(before.get(nic.Name), nic, seconds) }));
      before = new Map(nics.map((nic) => [nic.Name, nic]));
      beforeAt = at;
      return told;
    });
  }

  uptime(signal: AbortSignal): AsyncGenerator<bigint> {
    return periodic(signal, this.#periodMs, async () =>
      BigInt(Math.round((await this.#host.uptimeSeconds()) * NANOSECONDS)),
    );
  }
}

/** Share of time that processors worked between two readings, of all their time; since boot without a first. */
export function busyPercent(before: CpuTimes | undefined, after: CpuTimes): number {
  const { worked, total } = sums(after);
  const earlier = before === undefined ? { worked: 0, total: 0 } : sums(before);
  if (total <= earlier.total) return 0;
  return Math.min(100, Math.max(0, ((worked - earlier.worked) / (total - earlier.total)) * 100));
}

function sums({ User, Nice, System, Idle, Iowait, Irq, Softirq, Steal }: CpuTimes): { worked: number; total: number } {
  const worked = User + Nice + System + Irq + Softirq + Steal;
  return { worked, total: worked + Idle + Iowait };
}

/** Bytes a second. A counter that went back belongs to an interface that was made anew. */
function ratesOf(
  before: NicCounters | undefined,
  after: NicCounters,
  seconds: number,
): { RateIn: number; RateOut: number } {
  if (before === undefined || seconds <= 0) return { RateIn: 0, RateOut: 0 };
  const rate = (from: number, to: number): number => Math.max(0, Math.round((to - from) / seconds));
  return { RateIn: rate(before.BytesRecv, after.BytesRecv), RateOut: rate(before.BytesSent, after.BytesSent) };
}
