/** A virtual machine's configuration: checked once, then plain data that is kept, compared and started. */
import { availableParallelism } from 'node:os';
import { posix } from 'node:path';
import { z } from 'zod';
import { GridError } from '../../schemas/errors/index.ts';
import type { Infer } from '../zbus/wire.ts';
import { addressText, networkText } from './addresses.ts';
import { ShellWordError, splitWords } from './cidata/shell.ts';
import type { VM, VMIface } from './interface.ts';

const MIB = 1024 * 1024;
/** Smallest memory of a machine, from the grid's rules. */
const MINIMUM_MEMORY_BYTES = 250 * MIB;
/** PCI slots on the root bus that are left for disks, shares and interfaces. */
const MAX_DEVICES = 24;

const interfaceSchema = z.object({
  tap: z.string(),
  mac: z.string(),
  addresses: z.array(z.string()),
  routes: z.array(z.object({ to: z.string(), via: z.string().optional() })),
  gateway4: z.string().optional(),
  gateway6: z.string().optional(),
  publicIPv4: z.boolean(),
  publicIPv6: z.boolean(),
});

export const machineConfigSchema = z.object({
  name: z.string(),
  cpus: z.int(),
  memoryBytes: z.int(),
  kernel: z.string(),
  initrd: z.string(),
  kernelArgs: z.record(z.string(), z.string()),
  entrypoint: z.string(),
  hostname: z.string(),
  /** `disk` boots from the first disk, `virtiofs` from the share `vroot`. */
  boot: z.object({ type: z.enum(['disk', 'virtiofs']), path: z.string() }),
  disks: z.array(z.object({ path: z.string(), target: z.string() })),
  shares: z.array(z.object({ tag: z.string(), path: z.string(), target: z.string() })),
  interfaces: z.array(interfaceSchema),
  nameservers: z.array(z.string()),
  environment: z.record(z.string(), z.string()),
  keepAlive: z.boolean(),
  /** PCI slots, as `0000:01:00.0`. */
  devices: z.array(z.string()),
});

export type MachineConfig = z.infer<typeof machineConfigSchema>;

function refuse(field: string, reason: string): never {
  throw new GridError('machine_invalid', { field, reason });
}

/** Checks `vm` and makes it plain. Throws `machine_invalid` with the grid's own sentences. */
export function machineConfig(vm: Infer<typeof VM>, hostCpus: number = availableParallelism()): MachineConfig {
  if (vm.Name === '') refuse('Name', 'name is required');
  if (vm.KernelImage === '') refuse('KernelImage', 'kernel-image is required');
  if (vm.Memory < MINIMUM_MEMORY_BYTES) refuse('Memory', 'invalid memory must not be less than 250M');
  if (vm.CPU < 1 || vm.CPU > hostCpus) {
    refuse('CPU', hostCpus === 1 ? 'invalid cpu must be 1' : `invalid cpu must be between 1 and ${hostCpus}`);
  }
  for (const { Target } of vm.Shared) {
    if (Target !== '' && isRoot(Target)) refuse('Shared', `validating virtiofs ${Target}: mount target can't be /`);
  }
  for (const { Target } of vm.Disks) {
    if (Target !== '' && isRoot(Target)) refuse('Disks', `validating disk ${Target}: mount target can't be /`);
  }
  checkName(vm.Name);
  checkCommand(vm);
  checkMounts(vm);
  if (vm.Boot.Type > 1) refuse('Boot', `unknown boot type ${vm.Boot.Type}`);
  return {
    name: vm.Name,
    cpus: vm.CPU,
    memoryBytes: vm.Memory,
    kernel: vm.KernelImage,
    initrd: vm.InitrdImage,
    kernelArgs: Object.fromEntries(vm.KernelArgs),
    entrypoint: vm.Entrypoint,
    hostname: vm.Hostname,
    boot: { type: vm.Boot.Type === 0 ? 'disk' : 'virtiofs', path: vm.Boot.Path },
    disks: vm.Disks.map(({ Path, Target }) => ({ path: Path, target: Target })),
    shares: vm.Shared.map(({ ID, Path, Target }) => ({ tag: ID, path: Path, target: Target })),
    interfaces: vm.Network.Ifaces.map((device, index) => interfaceConfig(device, index)),
    nameservers: vm.Network.Nameservers.map((server) => addressText(server)).filter((text) => text !== undefined),
    environment: Object.fromEntries(vm.Environment),
    keepAlive: !vm.NoKeepAlive,
    devices: vm.Devices.map(pciSlot),
  };
}

function isRoot(target: string): boolean {
  return posix.resolve('/', target) === '/';
}

/** The name becomes file names and log fields. */
function checkName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) {
    refuse('Name', `invalid name ${JSON.stringify(name)}: letters, digits, '.', '_' and '-', at most 128`);
  }
}

function checkCommand(vm: Infer<typeof VM>): void {
  for (const [key, value] of vm.Environment) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) {
      refuse('Environment', `invalid environment variable name ${JSON.stringify(key)}`);
    }
    if (value.includes('\0')) refuse('Environment', `the environment variable ${key} holds a zero byte`);
  }
  for (const [key, value] of vm.KernelArgs) {
    if (!/^[\w.,:-]+$/.test(key) || /["\p{Cc}]/u.test(value)) {
      refuse('KernelArgs', `invalid kernel argument ${JSON.stringify(key)}`);
    }
  }
  if (!/^[A-Za-z0-9._-]{0,64}$/.test(vm.Hostname))
    refuse('Hostname', `invalid hostname ${JSON.stringify(vm.Hostname)}`);
  try {
    splitWords(vm.Entrypoint);
  } catch (error) {
    if (error instanceof ShellWordError) refuse('Entrypoint', `invalid entrypoint: ${error.message}`);
    throw error;
  }
}

function checkMounts(vm: Infer<typeof VM>): void {
  for (const { Path, Target } of [...vm.Disks, ...vm.Shared]) {
    checkPath('Path', Path);
    if (Target !== '' && (!Target.startsWith('/') || /["\\\p{Cc}]/u.test(Target) || Target.split('/').includes('..'))) {
      refuse('Target', `invalid mount target ${JSON.stringify(Target)}: an absolute path is required`);
    }
  }
  for (const { ID, Path } of vm.Shared) {
    if (!/^[A-Za-z0-9_.-]{1,36}$/.test(ID)) refuse('Shared', `invalid share id ${JSON.stringify(ID)}`);
    checkSharePath(Path);
  }
  checkPath('KernelImage', vm.KernelImage);
  if (vm.InitrdImage !== '') checkPath('InitrdImage', vm.InitrdImage);
  if (vm.Boot.Path !== '') checkPath('Boot', vm.Boot.Path);
  if (vm.Boot.Type === 1) {
    checkPath('Boot', vm.Boot.Path);
    checkSharePath(vm.Boot.Path);
  }
  const devices = vm.Disks.length + vm.Shared.length + vm.Network.Ifaces.length + vm.Devices.length;
  if (devices > MAX_DEVICES) refuse('Devices', `a machine has at most ${MAX_DEVICES} devices, not ${devices}`);
}

function checkPath(field: string, path: string): void {
  if (!path.startsWith('/') || /\p{Cc}/u.test(path)) refuse(field, `invalid path ${JSON.stringify(path)}`);
}

/** The share server reads its folder from a comma-separated list. */
function checkSharePath(path: string): void {
  if (/[,\\]/.test(path)) refuse('Shared', `invalid share path ${JSON.stringify(path)}: commas and backslashes`);
}

function interfaceConfig(device: Infer<typeof VMIface>, index: number): MachineConfig['interfaces'][number] {
  const field = `Network.Ifaces[${index}]`;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(device.Tap)) refuse(field, `invalid tap ${JSON.stringify(device.Tap)}`);
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(device.MAC)) refuse(field, `invalid mac ${JSON.stringify(device.MAC)}`);
  try {
    const gateway4 = addressText(device.IP4DefaultGateway);
    const gateway6 = addressText(device.IP6DefaultGateway);
    return {
      tap: device.Tap,
      mac: device.MAC.toLowerCase(),
      addresses: device.IPs.map((network) => networkText(network)),
      routes: device.Routes.map(({ Net, Gateway }) => {
        const via = addressText(Gateway);
        return { to: networkText(Net), ...(via === undefined ? {} : { via }) };
      }),
      ...(gateway4 === undefined ? {} : { gateway4 }),
      ...(gateway6 === undefined ? {} : { gateway6 }),
      publicIPv4: device.PublicIPv4,
      publicIPv6: device.PublicIPv6,
    };
  } catch (error) {
    if (error instanceof RangeError) refuse(field, `invalid address of ${device.Tap}: ${error.message}`);
    throw error;
  }
}

/** The slot of a device; the light flavour appends options to it. */
function pciSlot(device: string): string {
  const slot = /^([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(,iommu=on)?$/i.exec(device)?.[1];
  if (slot === undefined) refuse('Devices', `invalid device ${JSON.stringify(device)}`);
  return slot.toLowerCase();
}
