/** What Node.js knows of a machine that is no Linux: a node without workloads of its own can run there. */
import { cpus, freemem, totalmem, uptime } from 'node:os';
import { GridError } from '../../../schemas/errors/index.ts';
import { zero } from '../../zbus/zero.ts';
import { VirtualMemoryStat } from '../interface.ts';
import type { CpuTimes, Host, MemoryStat } from './host.ts';

export function portableHost(): Host {
  return {
    uptimeSeconds: async () => uptime(),
    cpuTimes: async () => totalTimes(),
    memory: async () => {
      const [total, free] = [totalmem(), freemem()];
      const known = { Total: total, Available: free, Free: free, Used: total - free };
      return { ...(zero(VirtualMemoryStat) as MemoryStat), ...known, UsedPercent: ((total - free) / total) * 100 };
    },
    disks: async () => [],
    nics: async () => [],
    // Whether one is beneath cannot be told here.
    hypervisor: async () => 'unknown',
    secureBoot: async () => false,
    dmidecode: async () => {
      throw new GridError('host_dmi_unreadable', { reason: `${process.platform} has no dmidecode` });
    },
    gpus: async () => [],
  };
}

function totalTimes(): CpuTimes {
  const seconds = (name: 'user' | 'nice' | 'sys' | 'idle' | 'irq'): number =>
    cpus().reduce((sum, { times }) => sum + times[name] / 1000, 0);
  return {
    User: seconds('user'),
    Nice: seconds('nice'),
    System: seconds('sys'),
    Idle: seconds('idle'),
    Iowait: 0,
    Irq: seconds('irq'),
    Softirq: 0,
    Steal: 0,
    Guest: 0,
    GuestNice: 0,
  };
}
