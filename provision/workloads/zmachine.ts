/** zmachine: a virtual machine whose root is an flist over a volume of its own (container mode). */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { VM } from '../../modules/vmd/interface.ts';
import { isZbusError } from '../../modules/zbus/errors.ts';
import type { NetIPNet } from '../../modules/zbus/gridtypes.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { parseIp } from '../../schemas/addresses.ts';
import { rootfsSize } from '../../schemas/capacity.ts';
import { findWorkload } from '../../schemas/deployment.ts';
import { networkId, uniqueName, workloadId } from '../../schemas/ids.ts';
import { loadData } from '../../schemas/validate.ts';
import { type ZMachine, zmachine } from '../../schemas/workloads/zmachine.ts';
import { type ImageBoot, imageBoot, removeHostKeys } from './image.ts';
import { macOf } from './mac.ts';
import { volumeStep } from './volume.ts';
import { type Calling, type Daemons, removeConfirmed, type Scope, type Step, type WorkloadDriver } from './workload.ts';

type Prefix = Infer<typeof NetIPNet>;

/** Addresses that every machine asks for names, as on all nodes of the grid. */
const NAMESERVERS = ['8.8.8.8', '1.1.1.1', '2001:4860:4860::8888'];
/** WireGuard addresses of all networks. */
const WIREGUARD_RANGE: Prefix = { IP: Uint8Array.of(100, 64, 0, 0), Mask: Uint8Array.of(255, 255, 0, 0) };
/** `pkg.BootType`: the root is a directory shared over virtiofs. */
const BOOT_VIRTIOFS = 1;

/** Names of everything one machine occupies. */
function names({ id, workload, deployment }: Scope, data: ZMachine) {
  const nic = data.network.interfaces[0] ?? { network: '', ip: '' };
  const unique = uniqueName(id, nic.network);
  return {
    machine: id,
    rootfs: `rootfs:${id}`,
    network: networkId(deployment.twin_id, nic.network),
    unique,
    mac: macOf(unique),
    ip: nic.ip,
    hostname: workload.name,
  };
}

export const zmachineDriver: WorkloadDriver = {
  type: zmachine.name,
  request: (workload, id) => {
    const data = loadData(zmachine, workload);
    const cpu = data.compute_capacity.cpu;
    const memory = Number(data.compute_capacity.memory);
    const nic = data.network.interfaces[0];
    const asked: readonly [string, boolean][] = [
      ['ipv4', data.network.public_ip !== ''],
      ['yggdrasil', data.network.planetary],
      ['mycelium', data.network.mycelium !== undefined],
      ['gpu', data.gpu.length > 0],
      ['corex', data.corex],
    ];
    return {
      name: workload.name,
      type: workload.type,
      vcpus: cpu,
      memoryBytes: memory,
      publicIps: 0,
      allocations: [
        { resource: `rootfs:${id}`, kind: 'volume', media: 'ssd', bytes: rootfsSize(cpu, memory, Number(data.size)) },
      ],
      ...(nic === undefined ? {} : { address: { network: nic.network, ip: nic.ip } }),
      ...(data.gpu.length === 0 ? {} : { gpus: data.gpu }),
      mounts: data.mounts.map((mount) => mount.name),
      features: asked.filter(([, wanted]) => wanted).map(([feature]) => feature),
    };
  },
  work: (scope) => {
    const data = loadData(zmachine, scope.workload);
    const { daemons, guest } = scope;
    const name = names(scope, data);
    const made = { rootfs: '', mounted: '', tap: '', console: '' };
    let boot: ImageBoot = { ...guest, ownKernel: false };
    const cpu = data.compute_capacity.cpu;
    const memory = Number(data.compute_capacity.memory);
    const steps: Step[] = [
      volumeStep(daemons, 'rootfs', name.rootfs, rootfsSize(cpu, memory, Number(data.size)), (path) => {
        made.rootfs = path;
      }),
      {
        name: 'tap',
        stage: 'network',
        deadlineMs: 30_000,
        ensure: async ({ deadlineMs }) => {
          // Not given up half way: a tap that came to be after its removal would stay.
          const calling = { deadlineMs };
          made.tap = await daemons.network.SetupPrivTap({ networkID: name.network, name: name.unique }, calling);
          await claimTap(daemons, name, calling);
        },
        undo: (calling) =>
          removeConfirmed(
            `tap ${name.unique}`,
            () => daemons.network.RemoveTap({ name: name.unique }, calling),
            () => daemons.network.TapExists({ name: name.unique }, calling),
          ),
      },
      {
        name: 'image',
        stage: 'flist',
        deadlineMs: 300_000,
        failure: `failed to mount flist: ${name.machine}`,
        ensure: async (calling) => {
          const opt = { ReadOnly: false, Limit: 0, Storage: '', PersistedVolume: made.rootfs };
          made.mounted = await daemons.flist.Mount({ name: name.machine, url: data.flist, opt }, calling);
          boot = await imageBoot(name.hostname, made.mounted, join(made.rootfs, 'kernel'), guest, calling.signal);
          // Once for each root file system: the keys that the machine made for itself stay.
          const cleaned = join(made.rootfs, 'host-keys-removed');
          if (existsSync(cleaned)) return;
          await removeHostKeys(made.mounted);
          await writeFile(cleaned, '');
        },
        // Also where nothing is mounted: flistd keeps the image of every name that was not unmounted.
        undo: (calling) =>
          removeConfirmed(
            `image of ${name.machine}`,
            () => daemons.flist.Unmount({ name: name.machine }, calling),
            () => daemons.flist.Exists({ name: name.machine }, calling),
          ),
      },
      {
        name: 'machine',
        stage: 'machine',
        deadlineMs: 120_000,
        ensure: async (calling) => {
          // What an earlier try started has its disks in use; whether that start succeeded only Run knows.
          const isStarted = await daemons.vmd.Exists({ name: name.machine }, calling);
          const { disks, shared } = await mounts(scope, data, !isStarted, calling);
          const vm: Infer<typeof VM> = {
            Name: name.machine,
            CPU: cpu,
            Memory: memory,
            Network: {
              Ifaces: [await privateInterface(daemons, name, made.tap, calling)],
              Nameservers: NAMESERVERS.map((text) => parseIp(text) ?? null),
            },
            KernelImage: boot.kernel,
            InitrdImage: boot.initrd,
            KernelArgs: new Map(boot.ownKernel && data.entrypoint !== '' ? [['init', data.entrypoint]] : []),
            Entrypoint: data.entrypoint,
            Disks: disks,
            Shared: shared,
            Boot: { Type: BOOT_VIRTIOFS, Path: made.mounted },
            Environment: new Map(Object.entries(data.env)),
            NoKeepAlive: false,
            Hostname: name.hostname,
            Devices: [],
          };
          try {
            made.console = (await daemons.vmd.Run({ vm }, calling)).ConsoleURL;
          } catch (error) {
            if (!isZbusError(error, 'call_failed') || !(await daemons.vmd.Exists({ name: name.machine }, calling)))
              throw error;
          }
        },
        undo: (calling) =>
          removeConfirmed(
            `machine ${name.machine}`,
            () => daemons.vmd.Delete({ name: name.machine }, calling),
            () => daemons.vmd.Exists({ name: name.machine }, calling),
          ),
      },
    ];
    return {
      steps,
      present: (calling) => daemons.vmd.Exists({ name: name.machine }, calling),
      pause: async (lock, calling) => {
        if (await daemons.vmd.Exists({ name: name.machine }, calling)) {
          await daemons.vmd.Lock({ name: name.machine, lock }, calling);
        }
      },
      result: () => {
        const { machine: id, ip } = name;
        // vmd says where the console is; '' where it offers none.
        return Promise.resolve(
          JSON.stringify({ id, ip, planetary_ip: '', mycelium_ip: '', console_url: made.console }),
        );
      },
    };
  },
};

/** Other daemons of the grid do not mark taps; without the mark one that leaks is found and not removed. */
async function claimTap(
  { networkInventory }: Daemons,
  { unique, machine }: { readonly unique: string; readonly machine: string },
  calling: Pick<Calling, 'deadlineMs'>,
): Promise<void> {
  try {
    await networkInventory.Claim({ name: unique, owner: machine }, calling);
  } catch (error) {
    if (!isZbusError(error, 'protocol')) throw error;
  }
}

interface Place {
  readonly network: string;
  readonly mac: string;
  readonly ip: string;
}

async function privateInterface(
  { network }: Daemons,
  { network: networkID, mac, ip }: Place,
  tap: string,
  calling: Calling,
) {
  const address = parseIp(ip) ?? null;
  const [subnet, range, gateways, address6] = await Promise.all([
    network.GetSubnet({ networkID }, calling),
    network.GetNet({ networkID }, calling),
    network.GetDefaultGwIP({ networkID }, calling),
    network.GetIPv6From4({ networkID, ip: address }, calling),
  ]);
  const [gateway4, gateway6] = gateways;
  return {
    Tap: tap,
    MAC: mac,
    IPs: [{ IP: address, Mask: subnet.Mask }, address6],
    Routes: [
      { Net: range, Gateway: gateway4 },
      { Net: WIREGUARD_RANGE, Gateway: gateway4 },
    ],
    IP4DefaultGateway: gateway4,
    IP6DefaultGateway: gateway6,
    PublicIPv4: false,
    PublicIPv6: false,
    NetID: networkID,
  };
}

/** Disks get a file system if they have none; volumes are shared under the workload's name. */
async function mounts({ deployment, daemons }: Scope, data: ZMachine, format: boolean, calling: Calling) {
  const disks: { Path: string; Target: string }[] = [];
  const shared: { ID: string; Path: string; Target: string }[] = [];
  for (const { name, mountpoint } of data.mounts) {
    const target = findWorkload(deployment, name);
    const id = workloadId(deployment.twin_id, deployment.contract_id, name);
    if (target?.type === 'zmount') {
      const { Path } = await daemons.storage.DiskLookup({ name: id }, calling);
      if (format) await daemons.storage.DiskFormat({ name: id }, calling);
      disks.push({ Path, Target: mountpoint });
    } else {
      const { Path } = await daemons.storage.VolumeLookup({ name: id }, calling);
      shared.push({ ID: name, Path, Target: mountpoint });
    }
  }
  return { disks, shared };
}
