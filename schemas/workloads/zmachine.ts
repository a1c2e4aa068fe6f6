/** zmachine: a virtual machine. */
import type { z } from 'zod';
import { capacity, MiB, rootfsMinimum, rootfsSize } from '../capacity.ts';
import type { Workload } from '../deployment.ts';
import { GridError } from '../errors/index.ts';
import { list, map, optional, pointer, struct } from '../gojson/codec.ts';
import { bool, hex, ip, text, uint8, unit } from '../gojson/values.ts';
import { type Context, defineWorkload, type Piece, printed } from './type.ts';

const MINIMUM_MEMORY = 250 * MiB;
const SEED_BYTES = 6;
/** With its interface, what has a place on a machine's bus. */
const MAX_MOUNTS = 23;
const RESERVED_NETWORKS = ['ygg', 'pub', 'mycelium'];
const PUBLIC_IP_TYPES = ['ip', 'ipv4'];

const MachineInterface = struct('zos.MachineInterface', {
  /** Name of a network of this twin on this node. */
  network: text,
  ip,
});

const MyceliumIp = struct('zos.MyceliumIP', {
  network: text,
  /** 6 bytes. */
  hex_seed: hex,
});

const MachineNetwork = struct('zos.MachineNetwork', {
  /** Name of an `ip` workload of this deployment, or empty. */
  public_ip: optional(text),
  planetary: optional(bool),
  mycelium: pointer(MyceliumIp),
  interfaces: list(MachineInterface),
});

const MachineCapacity = struct('zos.MachineCapacity', {
  /** Logical CPUs. */
  cpu: uint8,
  /** Bytes. */
  memory: unit,
});

const MachineMount = struct('zos.MachineMount', {
  /** Name of a disk workload of this deployment. */
  name: text,
  mountpoint: text,
});

export const ZMachine = struct('zos.ZMachine', {
  flist: optional(text),
  network: MachineNetwork,
  /** Root file system in bytes; 0 asks for the minimum. */
  size: optional(unit),
  compute_capacity: MachineCapacity,
  mounts: list(MachineMount),
  entrypoint: optional(text),
  env: map(text),
  /** Not part of the signed challenge. */
  corex: optional(bool),
  gpu: list(text, { omitEmpty: true }),
});
export type ZMachine = z.output<typeof ZMachine>;

export const zmachine = defineWorkload({
  name: 'zmachine',
  goType: '*zos.ZMachine',
  data: ZMachine,
  result: struct('zos.ZMachineResult', {
    id: text,
    ip: text,
    planetary_ip: optional(text),
    mycelium_ip: optional(text),
    console_url: optional(text),
  }),
  updatable: false,
  pausable: true,
  validate: (data, context) => {
    const where = { workload: context.workload.name };
    const { interfaces, public_ip, mycelium } = data.network;
    if (interfaces.length !== 1) throw new GridError('machine_interfaces', { ...where, interfaces: interfaces.length });
    for (const nic of interfaces) if (nic.ip === '') throw new GridError('machine_ip_missing', where);
    const { cpu, memory } = data.compute_capacity;
    if (cpu === 0) throw new GridError('machine_cpu_missing', where);
    if (memory < MINIMUM_MEMORY) {
      throw new GridError('machine_memory_low', { ...where, requested: memory, minimum: MINIMUM_MEMORY });
    }
    const minimum = rootfsMinimum(cpu, memory);
    if (data.size !== 0 && data.size < minimum) {
      throw new GridError('machine_disk_low', { ...where, requested: data.size, minimum });
    }
    if (data.mounts.length > MAX_MOUNTS) {
      throw new GridError('machine_mounts_too_many', { ...where, mounts: data.mounts.length, limit: MAX_MOUNTS });
    }
    // Nodes end here, with success, when the name belongs to a workload of another type.
    if (public_ip !== '' && !publicIpFound(public_ip, context)) return;
    for (const nic of interfaces) {
      if (RESERVED_NETWORKS.includes(nic.network)) {
        throw new GridError('machine_network_reserved', { ...where, network: nic.network });
      }
    }
    if (mycelium !== undefined && mycelium.hex_seed.length !== SEED_BYTES * 2) {
      throw new GridError('mycelium_seed_length', {
        ...where,
        bytes: mycelium.hex_seed.length / 2,
        expected: SEED_BYTES,
      });
    }
  },
  needs: ({ compute_capacity: { cpu, memory }, size }) =>
    capacity({ cru: cpu, mru: memory, sru: rootfsSize(cpu, memory, size) }),
  challenge: (data) => [
    ['flist', data.flist],
    ['network.public_ip', data.network.public_ip],
    ['network.planetary', String(data.network.planetary)],
    ...data.network.interfaces.flatMap((nic, i): Piece[] => [
      [`network.interfaces[${i}].network`, nic.network],
      [`network.interfaces[${i}].ip`, printed(nic.ip)],
    ]),
    ...(data.network.mycelium === undefined
      ? []
      : ([
          ['network.mycelium.network', data.network.mycelium.network],
          ['network.mycelium.hex_seed', data.network.mycelium.hex_seed],
        ] as Piece[])),
    ['size', String(data.size)],
    ['compute_capacity.cpu', String(data.compute_capacity.cpu)],
    ['compute_capacity.memory', String(data.compute_capacity.memory)],
    ...data.mounts.flatMap((mount, i): Piece[] => [
      [`mounts[${i}].name`, mount.name],
      [`mounts[${i}].mountpoint`, mount.mountpoint],
    ]),
    ['entrypoint', data.entrypoint],
    ...sortedEnv(data.env).map(([key, value]): Piece => [`env[${key}]`, `${key}=${value}`]),
    ...data.gpu.map((id, i): Piece => [`gpu[${i}]`, id]),
  ],
  references: (data) => [
    ...data.network.interfaces.map((nic) => ({ kind: 'network' as const, name: nic.network })),
    ...data.mounts.map((mount) => ({ kind: 'mount' as const, name: mount.name })),
    ...(data.network.public_ip === '' ? [] : [{ kind: 'public_ip' as const, name: data.network.public_ip }]),
  ],
});

/** Whether the named workload is a public IP; refuses a missing one and one that two machines name. */
function publicIpFound(name: string, context: Context): boolean {
  const { workload } = context;
  const target = context.once(workloadsByName).get(name);
  if (target === undefined) throw new GridError('machine_public_ip_missing', { workload: workload.name, name });
  if (!PUBLIC_IP_TYPES.includes(target.type)) return false;
  const machines = context.once(machinesByPublicIp).get(name) ?? [];
  if (machines.length > 1) {
    throw new GridError('machine_public_ip_shared', { workload: workload.name, name, machines: machines.slice(0, 16) });
  }
  return true;
}

function workloadsByName({ deployment }: Context): Map<string, Workload> {
  // The first of a name counts.
  return new Map(deployment.workloads.toReversed().map((workload) => [workload.name, workload]));
}

function machinesByPublicIp({ deployment, dataOf }: Context): Map<string, string[]> {
  const machines = new Map<string, string[]>();
  for (const workload of deployment.workloads) {
    const name = dataOf(zmachine, workload)?.network.public_ip ?? '';
    if (name === '') continue;
    const users = machines.get(name);
    if (users === undefined) machines.set(name, [workload.name]);
    else users.push(workload.name);
  }
  return machines;
}

/** Environment by the bytes of the key alone. */
function sortedEnv(env: Record<string, string>): [string, string][] {
  const encoder = new TextEncoder();
  return Object.entries(env)
    .map(([key, value]) => ({ key, value, bytes: encoder.encode(key) }))
    .sort((a, b) => compareBytes(a.bytes, b.bytes))
    .map(({ key, value }) => [key, value]);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
