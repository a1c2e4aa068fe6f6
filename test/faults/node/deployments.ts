/** What a twin deploys while its node is hit: two deployments, and the versions of the first. */
import {
  at,
  diskWorkload,
  type MachineWish,
  machineWorkload,
  networkWorkload,
  volumeWorkload,
} from '../../../provision/testing/tenant.ts';
import type { Deployment, Workload } from '../../../schemas/deployment.ts';
import type { Promised } from './promises.ts';
import { tenant } from './world.ts';

const GIB = 1024 ** 3;
const PORT = 4127;

/** A version of a deployment, and what it has to come to. */
export interface Wanted {
  readonly deployment: Deployment;
  readonly promised: Promised;
}

function network(name: string, peers: readonly string[] = []): Workload {
  const workload = networkWorkload(name, PORT, peers);
  const data = JSON.parse(workload.data) as object;
  return {
    ...workload,
    data: JSON.stringify({ ...data, wireguard_private_key: Buffer.alloc(32, 1).toString('base64') }),
  };
}

function wanted(contract: bigint, version: number, workloads: Workload[]): Wanted {
  const states = Object.fromEntries(workloads.map(({ name }) => [name, 'ok' as const]));
  return {
    deployment: tenant.deployment(contract, workloads, version),
    promised: { contract, version, states },
  };
}

/** The same in another state. */
export function but(promised: Promised, states: Promised['states']): Promised {
  return { ...promised, states: { ...promised.states, ...states } };
}

export function paused(promised: Promised): Promised {
  return { ...promised, states: Object.fromEntries(Object.keys(promised.states).map((name) => [name, 'paused'])) };
}

const wish: MachineWish = { mounts: ['disk1', 'vol1'] };
const machine = machineWorkload('vm1', wish);
const another = (version: number): Workload[] => [
  at(version, diskWorkload('disk2', GIB)),
  at(version, machineWorkload('vm2', { mounts: ['disk2'], ip: '10.1.2.6' })),
];
const net = network('net1');
const disk = diskWorkload('disk1', GIB);
const grownDisk = at(1, diskWorkload('disk1', 2 * GIB));
const grownVolume = at(1, volumeWorkload('vol1', 2 * GIB));
const smallVolume = at(2, volumeWorkload('vol1', GIB));
const later = [machine, net, grownDisk, smallVolume];

export const first = wanted(1n, 0, [machine, net, disk, volumeWorkload('vol1', GIB)]);
/** Grows a disk and a volume, adds a disk and a machine, removes nothing. */
export const second = wanted(1n, 1, [machine, net, grownDisk, grownVolume, ...another(1)]);
/** Removes the second machine and its disk, adds one in their place. */
export const third = wanted(1n, 2, [...later, at(2, diskWorkload('disk3', GIB))]);
/** Brings them back, and takes them away again. */
export const fourth = wanted(1n, 3, [...later, ...another(3)]);
export const fifth = wanted(1n, 4, [...later, at(4, diskWorkload('disk3', GIB))]);
/** The network has another peer, and there is a disk that nobody uses. */
export const withPeer = wanted(1n, 1, [
  machine,
  at(1, network('net1', ['10.1.9.0/24'])),
  disk,
  volumeWorkload('vol1', GIB),
  at(1, diskWorkload('spare', GIB)),
]);
/** Changes all of it that can change, and so does the one after. */
const changed = (version: number): Wanted =>
  wanted(1n, version, [
    machine,
    at(version, network('net1', [`10.1.${version}.0/24`])),
    disk,
    at(version, volumeWorkload('vol1', version * GIB)),
    at(version, diskWorkload('spare', version * GIB)),
  ]);
export const changedOnce = changed(2);
export const changedTwice = changed(3);

/** The machine of the second lies on the network of the first. */
export const ground = wanted(1n, 0, [net, disk]);
export const guest = wanted(2n, 0, [machineWorkload('vm1', { mounts: ['disk1'] }), disk]);
/** In the place of the second. */
export const heir = wanted(3n, 0, [machineWorkload('vm1', { mounts: ['disk1'], ip: '10.1.2.7' }), disk]);

/** What no change of the host may take from the first deployment while it is wanted. */
export const precious = [
  'storaged deleteVolume rootfs:7-1-vm1',
  'storaged deleteDisk 7-1-disk1',
  'storaged deleteVolume 7-1-vol1',
];
