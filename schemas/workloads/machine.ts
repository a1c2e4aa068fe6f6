/** What both kinds of machine have in common: data, rules, needs and challenge. */
import type { z } from 'zod';
import { type Capacity, capacity, MiB, rootfsMinimum, rootfsSize } from '../capacity.ts';
import { GridError } from '../errors/index.ts';
import { described, list, map, optional, struct } from '../gojson/codec.ts';
import { bool, hex, ip, size, text, uint8 } from '../gojson/values.ts';
import { type AddPiece, printed, type Reference } from './type.ts';

const MINIMUM_MEMORY = 250 * MiB;
const SEED_BYTES = 6;
/** With its interface, what has a place on a machine's bus. */
const MAX_MOUNTS = 23;
const RESERVED_NETWORKS = ['ygg', 'pub', 'mycelium'];

export const MachineInterface = struct(
  'zos.MachineInterface',
  {
    network: described(text, 'name of a network of this twin on this node'),
    ip: described(ip, "the machine's address in the network", { minLength: 1 }),
  },
  "A machine's place in a private network.",
);

export const MyceliumIp = struct(
  'zos.MyceliumIP',
  {
    network: optional(described(text, 'name of the network; Go clients spell the key `Network`')),
    hex_seed: described(hex, '6 bytes, of which the address is made'),
  },
  'An address of the Mycelium network.',
);

const MachineCapacity = struct(
  'zos.MachineCapacity',
  {
    cpu: described(uint8, 'logical CPUs', { minimum: 1 }),
    memory: described(size, 'bytes, at least 250 MiB', { minimum: MINIMUM_MEMORY }),
  },
  'What a machine computes with.',
);

const MachineMount = struct(
  'zos.MachineMount',
  {
    name: described(text, 'name of a zmount, volume or qsfs of this deployment'),
    mountpoint: described(text, 'absolute path in the machine'),
  },
  'A disk in a machine.',
);

/** Fields after `network`. */
export const machineFields = {
  size: optional(described(size, 'root file system in bytes; 0 asks for the minimum')),
  compute_capacity: described(MachineCapacity, 'CPUs and memory'),
  mounts: described(list(MachineMount), 'disks, in the order in which the machine sees them', { maxItems: MAX_MOUNTS }),
  entrypoint: optional(described(text, 'first program and its arguments')),
  env: described(map(text), 'environment; `SSH_KEY` holds keys of root, one a line'),
  corex: optional(described(bool, 'not part of the challenge')),
  gpu: described(list(text, { omitEmpty: true }), 'ids as zos.gpu.list gives them'),
};

interface Machine {
  readonly flist: string;
  readonly network: {
    readonly interfaces: readonly z.output<typeof MachineInterface>[];
    readonly mycelium?: z.output<typeof MyceliumIp> | undefined;
  };
  readonly size: number | bigint;
  readonly compute_capacity: z.output<typeof MachineCapacity>;
  readonly mounts: readonly z.output<typeof MachineMount>[];
  readonly entrypoint: string;
  readonly env: Readonly<Record<string, string>>;
  readonly gpu: readonly string[];
}

/** The rules before the one about the public address. */
export function validateMachine(data: Machine, workload: string): void {
  const where = { workload };
  const { interfaces } = data.network;
  if (interfaces.length !== 1) throw new GridError('machine_interfaces', { ...where, interfaces: interfaces.length });
  for (const nic of interfaces) if (nic.ip === '') throw new GridError('machine_ip_missing', where);
  const { cpu, memory } = data.compute_capacity;
  if (cpu === 0) throw new GridError('machine_cpu_missing', where);
  if (memory < MINIMUM_MEMORY) {
    throw new GridError('machine_memory_low', { ...where, requested: Number(memory), minimum: MINIMUM_MEMORY });
  }
  const minimum = rootfsMinimum(cpu, Number(memory));
  if (data.size !== 0 && data.size < minimum) {
    throw new GridError('machine_disk_low', { ...where, requested: Number(data.size), minimum });
  }
  if (data.mounts.length > MAX_MOUNTS) {
    throw new GridError('machine_mounts_too_many', { ...where, mounts: data.mounts.length, limit: MAX_MOUNTS });
  }
}

/** The rules after it. */
export function validateMachineNetworks({ network: { interfaces, mycelium } }: Machine, workload: string): void {
  for (const { network } of interfaces) {
    if (RESERVED_NETWORKS.includes(network)) throw new GridError('machine_network_reserved', { workload, network });
  }
  if (mycelium !== undefined && mycelium.hex_seed.length !== SEED_BYTES * 2) {
    const bytes = mycelium.hex_seed.length / 2;
    throw new GridError('mycelium_seed_length', { workload, bytes, expected: SEED_BYTES });
  }
}

export function machineNeeds({ compute_capacity, size: wanted }: Machine): Capacity {
  const { cpu, memory } = compute_capacity;
  const bytes = Number(memory);
  return capacity({ cru: cpu, mru: bytes, sru: rootfsSize(cpu, bytes, Number(wanted)) });
}

/** The challenge after the fields that only a full machine has. */
export function addMachine(data: Machine, add: AddPiece): void {
  const { interfaces, mycelium } = data.network;
  for (const [i, nic] of interfaces.entries()) {
    add('network.interfaces[].network', nic.network, i);
    add('network.interfaces[].ip', printed(nic.ip), i);
  }
  if (mycelium !== undefined) {
    add('network.mycelium.network', mycelium.network);
    add('network.mycelium.hex_seed', mycelium.hex_seed);
  }
  add('size', data.size);
  add('compute_capacity.cpu', data.compute_capacity.cpu);
  add('compute_capacity.memory', data.compute_capacity.memory);
  for (const [i, mount] of data.mounts.entries()) {
    add('mounts[].name', mount.name, i);
    add('mounts[].mountpoint', mount.mountpoint, i);
  }
  add('entrypoint', data.entrypoint);
  for (const key of Object.keys(data.env).sort(compareCodePoints)) add('env[]', `${key}=${data.env[key]}`, key);
  for (const [i, id] of data.gpu.entries()) add('gpu[]', id, i);
}

export function machineReferences(data: Machine): Reference[] {
  return [
    ...data.network.interfaces.map((nic) => ({ kind: 'network' as const, name: nic.network })),
    ...data.mounts.map((mount) => ({ kind: 'mount' as const, name: mount.name })),
  ];
}

/** The order of texts' UTF-8 bytes, which is that of their code points but not of their UTF-16 units. */
function compareCodePoints(a: string, b: string): number {
  let i = 0;
  while (i < a.length && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  // Within a pair the first halves were the same, so its second halves decide.
  if (i === a.length || i === b.length) return a.length - b.length;
  return rank(a.charCodeAt(i)) - rank(b.charCodeAt(i));
}

/** Pairs stand for code points above all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
