/** What noded reads of the machine. One driver for Linux, one for what Node.js knows anywhere. */
import type { Infer } from '../../zbus/wire.ts';
import type { DiskIOCountersStat, Gpu, NicIOCounterStat, TimesStat, VirtualMemoryStat } from '../interface.ts';

/** Seconds of processor time since boot, all processors together. */
export type CpuTimes = Omit<Infer<typeof TimesStat>, 'CPU' | 'Percent' | 'Time'>;
export type MemoryStat = Infer<typeof VirtualMemoryStat>;
export type DiskCounters = Omit<Infer<typeof DiskIOCountersStat>, 'Time'>;
export type NicCounters = Omit<Infer<typeof NicIOCounterStat>, 'RateOut' | 'RateIn'>;
export type HostGpu = Infer<typeof Gpu>;

export interface Host {
  uptimeSeconds(): Promise<number>;
  cpuTimes(): Promise<CpuTimes>;
  memory(): Promise<MemoryStat>;
  disks(): Promise<readonly DiskCounters[]>;
  nics(): Promise<readonly NicCounters[]>;
  /** Name of the hypervisor, `unknown` where one hides its name, empty on bare metal. */
  hypervisor(): Promise<string>;
  /** Whether the firmware started only what it has a signature for; false where it cannot tell. */
  secureBoot(): Promise<boolean>;
  /** What dmidecode prints. Throws `GridError` `host_dmidecode_missing`, `host_dmi_unreadable`. */
  dmidecode(): Promise<string>;
  /** GPUs that a machine could be given. */
  gpus(): Promise<readonly HostGpu[]>;
}
