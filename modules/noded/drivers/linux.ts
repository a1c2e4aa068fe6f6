/** Reads a Linux machine: /proc, /sys, dmidecode. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GridError } from '../../../schemas/errors/index.ts';
import { HostCommandError, run } from '../../host/run.ts';
import { readCpuTimes, readDisks, readMemory, readNics } from './counters.ts';
import { readGpus } from './gpus.ts';
import type { DiskCounters, Host } from './host.ts';
import { hypervisor } from './hypervisor.ts';

const DMIDECODE_DEADLINE_MS = 10_000;

export interface LinuxPlaces {
  readonly proc: string;
  readonly sys: string;
  /** Where the list of PCI names may be, the first one there is read. */
  readonly pciIds: readonly string[];
  readonly dmidecode: string;
}

export const LINUX_PLACES: LinuxPlaces = {
  proc: '/proc',
  sys: '/sys',
  pciIds: ['/usr/share/misc/pci.ids', '/usr/share/hwdata/pci.ids'],
  dmidecode: 'dmidecode',
};

export function linuxHost(places: LinuxPlaces = LINUX_PLACES): Host {
  const { proc, sys, pciIds, dmidecode } = places;
  const read = (...path: readonly string[]): Promise<string> => readFile(join(proc, ...path), 'utf8');
  return {
    uptimeSeconds: async () => Number.parseFloat(await read('uptime')),
    cpuTimes: async () => readCpuTimes(await read('stat')),
    memory: async () => readMemory(await read('meminfo')),
    disks: async () => Promise.all(readDisks(await read('diskstats')).map((disk) => withNames(sys, disk))),
    nics: async () => readNics(await read('net', 'dev')),
    hypervisor: () => hypervisor(proc, sys),
    secureBoot: () => secureBoot(sys),
    dmidecode: () => runDmidecode(dmidecode),
    gpus: () => readGpus(sys, pciIds),
  };
}

/** Four bytes of attributes, then the value. */
const SECURE_BOOT_VARIABLE = 'firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';

async function secureBoot(sys: string): Promise<boolean> {
  const variable = await readFile(join(sys, SECURE_BOOT_VARIABLE)).catch(() => Buffer.alloc(0));
  return variable[4] === 1;
}

async function withNames(sys: string, disk: DiskCounters): Promise<DiskCounters> {
  const read = async (path: string): Promise<string> =>
    (await readFile(join(sys, 'class/block', disk.Name, path), 'utf8').catch(() => '')).trim();
  const serial = (await read('serial')) || (await read('device/serial'));
  return { ...disk, SerialNumber: serial, Label: await read('dm/name') };
}

async function runDmidecode(program: string): Promise<string> {
  const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  try {
    return (await run(program, [], { deadlineMs: DMIDECODE_DEADLINE_MS, env })).stdout;
  } catch (error) {
    if (!(error instanceof HostCommandError)) throw error;
    if (error.reason === 'missing') throw new GridError('host_dmidecode_missing', {});
    throw new GridError('host_dmi_unreadable', { reason: error.stderr.trim() || error.message }, { cause: error });
  }
}
