/** What the daily trial really makes and takes away, under names that no workload can have. */
import { randomBytes } from 'node:crypto';
import { planner, type Workload } from '../../../provision/interface.ts';
import { chain } from '../../api-gateway/interface.ts';
import { flist } from '../../flistd/interface.ts';
import { network } from '../../networkd/interface.ts';
import { storage } from '../../storaged/interface.ts';
import type { ZbusClient } from '../../zbus/client.ts';
import type { CallOptions } from '../../zbus/definition.ts';
import { isZbusError } from '../../zbus/errors.ts';
import type { Infer } from '../../zbus/wire.ts';
import type { ProvisionTrialOptions, Trial } from './tasks/provision-trial.ts';

/** Not of the form `<twin>-<contract>-<name>`; 13 characters of base58, so that a network can have it. */
export const TRIAL_NAME = 'provisiontest';
const MiB = 1024 ** 2;
const DISK_BYTES = 16 * MiB;
const MEMORY_BYTES = 256 * MiB;
const STEP_DEADLINE_MS = 60_000;
/** TEST-NET-1, which no network of the grid uses. */
const RANGE = [192, 0, 2, 0];
/** Beside the ports that clients choose from. */
const PLANNED_PORT = 65_535;
const PLANNED_DISK_BYTES = 1024 * MiB;

/** A node that is full is in order: it has no room, which its capacity says. */
const FULL: ReadonlySet<string> = new Set([
  'capacity_memory',
  'capacity_disk',
  'capacity_single_disk',
  'capacity_cpu',
  'storage_not_enough_space',
]);

export interface TrialOptions {
  readonly bus: ZbusClient;
  /** URL of an flist that the node must be able to get, if there is one. */
  readonly image: string | undefined;
}

export function trials({ bus, image }: TrialOptions): Omit<ProvisionTrialOptions, 'marker'> {
  return {
    plan: (signal) => plan(bus, asking(signal)),
    trials: [volume(bus), disk(bus), resource(bus)],
    images: async (signal) => {
      if (image === undefined) return [];
      const hash = await bus.of(flist).FlistHash({ url: image }, asking(signal));
      return /^[0-9a-f]{32}$/.test(hash) ? [] : [`${image} has no hash`];
    },
  };
}

function asking(signal: AbortSignal): CallOptions {
  return { deadlineMs: STEP_DEADLINE_MS, signal };
}

/** Whether it was made; a full node makes none, and is in order. */
async function unlessFull(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    const code = isZbusError(error) ? error.remote?.code : undefined;
    if (code !== undefined && FULL.has(code)) return false;
    throw error;
  }
}

function volume(bus: ZbusClient): Trial {
  const client = bus.of(storage);
  return {
    what: 'a volume',
    make: (signal) => unlessFull(client.VolumeCreate({ name: TRIAL_NAME, size: DISK_BYTES }, asking(signal))),
    check: async (signal) => {
      const { Usage } = await client.VolumeLookup({ name: TRIAL_NAME }, asking(signal));
      if (Usage.Size !== DISK_BYTES) throw new Error(`it has ${Usage.Size} bytes, not ${DISK_BYTES}`);
    },
    remove: (signal) => client.VolumeDelete({ name: TRIAL_NAME }, asking(signal)),
  };
}

function disk(bus: ZbusClient): Trial {
  const client = bus.of(storage);
  return {
    what: 'a disk',
    make: (signal) => unlessFull(client.DiskCreate({ name: TRIAL_NAME, size: DISK_BYTES }, asking(signal))),
    check: async (signal) => {
      const { Size } = await client.DiskLookup({ name: TRIAL_NAME }, asking(signal));
      if (Size !== DISK_BYTES) throw new Error(`it has ${Size} bytes, not ${DISK_BYTES}`);
    },
    remove: (signal) => client.DiskDelete({ name: TRIAL_NAME }, asking(signal)),
  };
}

function resource(bus: ZbusClient): Trial {
  const client = bus.of(network);
  const range = { IP: Uint8Array.from(RANGE), Mask: Uint8Array.from([255, 255, 255, 0]) };
  return {
    what: 'a network',
    make: async (signal) => {
      const request = {
        NetworkIPRange: range,
        Subnet: range,
        // Nobody will ever talk to it.
        WGPrivateKey: randomBytes(32).toString('base64'),
        WGListenPort: 0,
        Peers: [],
        Mycelium: null,
        NetID: TRIAL_NAME,
      };
      await client.CreateNR({ wl: TRIAL_NAME, network: request }, asking(signal));
      return true;
    },
    check: async (signal) => {
      const subnet = await client.GetSubnet({ networkID: TRIAL_NAME }, asking(signal));
      if (Buffer.compare(subnet.IP ?? Buffer.alloc(0), range.IP) !== 0) throw new Error('it has another subnet');
    },
    remove: (signal) => client.DeleteNR({ wl: TRIAL_NAME }, asking(signal)),
  };
}

/** Why a network, a disk and a machine would not be accepted now. Changes nothing. */
async function plan(bus: ZbusClient, options: CallOptions): Promise<string[]> {
  const { TwinID } = await bus.of(chain).Node({}, options);
  const workload = (Name: string, Type: string, data: object): Infer<typeof Workload> => ({
    Version: 0,
    Name,
    Type,
    Data: Buffer.from(JSON.stringify(data)),
    Metadata: '',
    Description: '',
    Result: { Created: 0, State: '', Error: '', Data: null },
  });
  const subnet = `${RANGE.join('.')}/24`;
  const machine = {
    flist: 'https://localhost/provisiontest.flist',
    network: { public_ip: '', planetary: false, interfaces: [{ network: TRIAL_NAME, ip: '192.0.2.2' }] },
    size: 0,
    compute_capacity: { cpu: 1, memory: MEMORY_BYTES },
    mounts: [{ name: 'disk', mountpoint: '/data' }],
    entrypoint: '',
    env: {},
    corex: false,
  };
  const { Fits, Refusals } = await bus.of(planner).Plan(
    {
      twin: TwinID,
      deployment: {
        Version: 0,
        TwinID,
        ContractID: 0n,
        Metadata: '',
        Description: '',
        Expiration: 0,
        SignatureRequirement: {
          Requests: [{ TwinID, Required: false, Weight: 1 }],
          WeightRequired: 1,
          Signatures: [],
          SignatureStyle: '',
        },
        Workloads: [
          workload(TRIAL_NAME, 'network', {
            ip_range: subnet,
            subnet,
            wireguard_private_key: randomBytes(32).toString('base64'),
            wireguard_listen_port: PLANNED_PORT,
            peers: [],
          }),
          workload('disk', 'zmount', { size: PLANNED_DISK_BYTES }),
          workload('vm', 'zmachine', machine),
        ],
      },
    },
    options,
  );
  return Fits ? [] : Refusals.filter(({ Code }) => !FULL.has(Code)).map(({ Message }) => Message);
}
