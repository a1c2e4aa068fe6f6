/**
 * A host for tests: what storaged, networkd, flistd, vmd and the chain would
 * hold, in memory, served over the real bus or called directly. It records every
 * call, can be told to fail, and outlives the provisiond under test.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ContractEvent, ContractFacts } from '../../modules/api-gateway/interface.ts';
import { chain, substrateGateway } from '../../modules/api-gateway/interface.ts';
import { flist, flistInventory } from '../../modules/flistd/interface.ts';
import { type Network, network, networkInventory } from '../../modules/networkd/interface.ts';
import { storage, storageInventory, storagePlacement } from '../../modules/storaged/interface.ts';
import { vmd, vmdInventory } from '../../modules/vmd/interface.ts';
import { zero } from '../../modules/zbus/codec.ts';
import type { Client, InterfaceDefinition, Service } from '../../modules/zbus/definition.ts';
import { NetMetric } from '../../modules/zbus/gridtypes.ts';
import type { Owned } from '../../modules/zbus/inventory.ts';
import { Lanes } from '../../modules/zbus/order.ts';
import { ZbusServer } from '../../modules/zbus/server.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { deploymentHash } from '../../schemas/challenge.ts';
import type { Deployment } from '../../schemas/deployment.ts';
import { ownerInName } from '../../schemas/ids.ts';
import { Channel } from '../channel.ts';
import type { Inventories } from '../reconcile/host.ts';
import type { Daemons } from '../workloads/workload.ts';
import { direct } from './direct.ts';

export interface HostCall {
  readonly method: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Runs before and after every call's effect; may throw or wait. */
export type Hook = (call: HostCall, when: 'before' | 'after') => Promise<void> | void;

const GIB = 1024 ** 3;
const CHANGES = new Set([
  'VolumeCreate',
  'VolumeUpdate',
  'VolumeDelete',
  'DiskCreate',
  'DiskResize',
  'DiskDelete',
  'DiskFormat',
  'CreateNR',
  'DeleteNR',
  'SetupPrivTap',
  'RemoveTap',
  'Mount',
  'Unmount',
  'Run',
  'Delete',
]);

export class TestHost {
  readonly calls: HostCall[] = [];
  readonly volumes = new Map<string, number>();
  readonly disks = new Map<string, { size: number; formatted: boolean }>();
  readonly networks = new Map<string, string>();
  /** What was asked of a network last, by workload. */
  readonly networkWishes = new Map<string, Infer<typeof Network>>();
  readonly taps = new Set<string>();
  /** Workloads by tap. */
  readonly tapOwners = new Map<string, string>();
  readonly mounts = new Map<string, string>();
  readonly machines = new Map<string, unknown>();
  readonly locked = new Set<string>();
  /** Bytes of public traffic by machine. */
  readonly traffic = new Map<string, number>();
  readonly contracts = new Map<bigint, Infer<typeof ContractFacts>>();
  /** What the chain was told that contracts use. */
  readonly consumption = new Map<bigint, Readonly<Record<'HRU' | 'SRU' | 'CRU' | 'MRU', bigint>>>();
  readonly twins = new Map<number, Uint8Array>();
  readonly events = new Channel<Infer<typeof ContractEvent>>(1000);
  generation = 1;
  /** The chain's newest final block. */
  block = 5;
  sequence = 0;
  poolBytes = 100 * GIB;
  cacheBytes = 5 * GIB;
  wireguardPorts: number[] = [];
  hook: Hook = () => {};
  readonly #folder: string;
  readonly #lanes = {
    storage: new Lanes(),
    network: new Lanes(),
    flist: new Lanes(),
    vmd: new Lanes(),
    chain: new Lanes(),
  };

  /** `folder` holds what machines' images would be mounted at. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Everything a deployment could leave behind, by name. */
  get resources(): string[] {
    return [
      ...[...this.volumes.keys()].map((name) => `volume ${name}`),
      ...[...this.disks.keys()].map((name) => `disk ${name}`),
      ...[...this.networks.keys()].map((name) => `network ${name}`),
      ...[...this.taps].map((name) => `tap ${name}`),
      ...[...this.mounts.keys()].map((name) => `mount ${name}`),
      ...[...this.machines.keys()].map((name) => `machine ${name}`),
    ].sort();
  }

  /** Names of the calls that changed something, in order. */
  get changes(): string[] {
    return this.calls.filter((call) => CHANGES.has(call.method)).map((call) => call.method);
  }

  /** Serves every daemon over the bus; `modules` names those that live. */
  serve(
    broker: string,
    modules: readonly string[] = ['storage', 'network', 'flist', 'vmd', 'api-gateway'],
  ): ZbusServer[] {
    const objects = [
      [storage, this.storage],
      [network, this.network],
      [flist, this.flist],
      [vmd, this.vmd],
      [chain, this.chain],
      [substrateGateway, this.substrateGateway],
      [storageInventory, this.storageInventory],
      [storagePlacement, this.placement],
      [networkInventory, this.networkInventory],
      [flistInventory, this.flistInventory],
      [vmdInventory, this.vmdInventory],
    ] as const;
    return modules.map((module) => {
      const server = new ZbusServer({ module, broker });
      for (const [definition, service] of objects) {
        if (definition.module === module) server.serve(definition as InterfaceDefinition, service as never);
      }
      return server;
    });
  }

  /** The daemons called directly, without a bus. */
  get daemons(): Daemons {
    return {
      storage: direct(storage, this.storage, this.#lanes.storage),
      network: direct(network, this.network, this.#lanes.network),
      networkInventory: direct(networkInventory, this.networkInventory, new Lanes()),
      flist: direct(flist, this.flist, this.#lanes.flist),
      vmd: direct(vmd, this.vmd, this.#lanes.vmd),
    };
  }

  get inventories(): Inventories {
    return {
      storage: direct(storageInventory, this.storageInventory, new Lanes()),
      network: direct(networkInventory, this.networkInventory, new Lanes()),
      flist: direct(flistInventory, this.flistInventory, new Lanes()),
      vmd: direct(vmdInventory, this.vmdInventory, new Lanes()),
    };
  }

  get chainClient(): Client<typeof chain> {
    return direct(chain, this.chain, this.#lanes.chain);
  }

  readonly storage = this.#service(storage, {
    VolumeCreate: ({ name, size }) => {
      this.#allocate(this.volumes.has(name) ? 0 : size);
      if (!this.volumes.has(name)) this.volumes.set(name, size);
      mkdirSync(join(this.#folder, 'pool1', name), { recursive: true });
      return this.#volume(name);
    },
    VolumeExists: ({ name }) => this.volumes.has(name),
    VolumeDelete: ({ name }) => {
      if (this.mounts.has(name.replace('rootfs:', ''))) throw new Error(`volume ${name} is mounted`);
      this.volumes.delete(name);
    },
    VolumeUpdate: ({ name, size }) => {
      this.#allocate(size - this.#volume(name).Usage.Size);
      this.volumes.set(name, size);
    },
    VolumeLookup: ({ name }) => this.#volume(name),
    VolumeList: () => [...this.volumes.keys()].map((name) => this.#volume(name)),
    DiskExists: ({ name }) => this.disks.has(name),
    DiskCreate: ({ name, size }) => {
      if (this.disks.has(name)) throw new Error(`disk with id '${name}' already exists: file already exists`);
      this.#allocate(size);
      this.disks.set(name, { size, formatted: false });
      return this.#disk(name);
    },
    DiskResize: ({ name, size }) => {
      const disk = this.disks.get(name);
      if (disk === undefined) throw new Error(`no disk ${name}`);
      if (size < disk.size) throw new Error(`disk '${name}' can not shrink from ${disk.size} to ${size} bytes`);
      this.#allocate(size - disk.size);
      disk.size = size;
      return this.#disk(name);
    },
    DiskDelete: ({ name }) => {
      this.disks.delete(name);
    },
    DiskLookup: ({ name }) => this.#disk(name),
    DiskFormat: ({ name }) => {
      const disk = this.disks.get(name);
      if (disk === undefined) throw new Error(`no disk ${name}`);
      disk.formatted = true;
    },
    DiskList: () => [...this.disks.keys()].map((name) => this.#disk(name)),
    Metrics: () => [{ Name: 'pool1', Type: 'ssd', Size: this.poolBytes, Used: this.#usedBytes }],
    Cache: () => ({ Name: 'zos-cache', Path: '/pools/pool1/zos-cache', Usage: { Size: this.cacheBytes, Used: 0 } }),
  });

  /** It has one pool. */
  readonly placement = this.#service(storagePlacement, { Prefer: () => false });

  readonly network = this.#service(network, {
    CreateNR: ({ wl, network: wanted }) => {
      this.networks.set(wl, wanted.NetID);
      this.networkWishes.set(wl, wanted);
      return `n-${wanted.NetID}`;
    },
    DeleteNR: ({ wl }) => {
      this.networks.delete(wl);
      this.networkWishes.delete(wl);
    },
    GetSubnet: ({ networkID }) => {
      this.#needNetwork(networkID);
      return { IP: Uint8Array.of(10, 1, 2, 0), Mask: Uint8Array.of(255, 255, 255, 0) };
    },
    GetNet: ({ networkID }) => {
      this.#needNetwork(networkID);
      return { IP: Uint8Array.of(10, 1, 0, 0), Mask: Uint8Array.of(255, 255, 0, 0) };
    },
    GetDefaultGwIP: () => [Uint8Array.of(10, 1, 2, 1), new Uint8Array(16)],
    GetIPv6From4: () => ({ IP: new Uint8Array(16), Mask: new Uint8Array(16) }),
    SetupPrivTap: ({ networkID, name }) => {
      this.#needNetwork(networkID);
      this.taps.add(name);
      return `t-${name}`;
    },
    TapExists: ({ name }) => this.taps.has(name),
    RemoveTap: ({ name }) => {
      this.taps.delete(name);
      this.tapOwners.delete(name);
    },
    WireguardPorts: () => this.wireguardPorts,
    Metrics: () =>
      new Map(
        [...this.networks.keys()].map((id) => [id, { NetRxPackets: 0, NetRxBytes: 0, NetTxPackets: 0, NetTxBytes: 0 }]),
      ),
  });

  readonly flist = this.#service(flist, {
    Exists: ({ name }) => this.mounts.has(name),
    Mount: ({ name, url, opt }) => {
      if (!this.volumes.has(basename(opt.PersistedVolume))) throw new Error('the persisted volume is not there');
      const path = join(this.#folder, 'mnt', name);
      mkdirSync(join(path, 'etc', 'ssh'), { recursive: true });
      writeFileSync(join(path, 'etc', 'ssh', 'ssh_host_key'), 'k');
      this.mounts.set(name, url);
      return path;
    },
    Unmount: ({ name }) => {
      if (this.machines.has(name)) throw new Error(`mount ${name} is busy`);
      this.mounts.delete(name);
    },
  });

  readonly vmd = this.#service(vmd, {
    Exists: ({ name }) => this.machines.has(name),
    List: () => [...this.machines.keys()],
    Run: ({ vm }) => {
      if (this.machines.has(vm.Name)) throw new Error('a vm with same name already exists');
      this.machines.set(vm.Name, vm);
      return { ConsoleURL: '10.1.2.1:20005' };
    },
    Lock: ({ name, lock }) => {
      if (lock) this.locked.add(name);
      else this.locked.delete(name);
    },
    Delete: ({ name }) => {
      this.machines.delete(name);
      this.traffic.delete(name);
    },
    Metrics: () =>
      new Map(
        [...this.machines.keys()].map((name) => {
          const Public = { ...zero(NetMetric), NetTxBytes: this.traffic.get(name) ?? 0 };
          return [name, { Private: zero(NetMetric), Public }];
        }),
      ),
  });

  readonly storageInventory = this.#service(storageInventory, {
    Owned: () => [
      ...[...this.volumes].map(([name, size]) => owned('volume', name, name, size)),
      ...[...this.disks].map(([name, { size }]) => owned('disk', name, name, size)),
    ],
    Remove: ({ kind, name }) => {
      if (kind === 'volume' && this.mounts.has(name.replace('rootfs:', ''))) throw new Error(`${name} is mounted`);
      (kind === 'volume' ? this.volumes : this.disks).delete(name);
    },
  });

  readonly networkInventory = this.#service(networkInventory, {
    Owned: () => [
      ...[...this.networks].map(([workload, netId]) => owned('network', netId, workload)),
      ...[...this.taps].map((tap) => owned('tap', `t-${tap}`, this.tapOwners.get(tap) ?? '')),
    ],
    Remove: ({ kind, name, owner }) => {
      if (kind === 'network') this.networks.delete(owner);
      else this.taps.delete(name.slice(2));
    },
    Claim: ({ name, owner }) => {
      if (this.taps.has(name)) this.tapOwners.set(name, owner);
    },
    PortsTaken: ({ ports }) => (ports ?? []).filter((port) => this.wireguardPorts.includes(port)),
  });

  readonly flistInventory = this.#service(flistInventory, {
    Owned: () => [...this.mounts.keys()].map((name) => owned('mount', name, name)),
    Remove: ({ name }) => {
      if (this.machines.has(name)) throw new Error(`mount ${name} is busy`);
      this.mounts.delete(name);
    },
  });

  readonly vmdInventory = this.#service(vmdInventory, {
    Owned: () => [...this.machines.keys()].map((name) => owned('machine', name, name)),
    Remove: ({ name }) => {
      this.machines.delete(name);
    },
  });

  readonly chain = {
    ...this.#service(chain, {
      Contract: ({ id }) => this.#factsOf(id),
      ContractBatch: ({ ids }) => (ids ?? []).map((id) => this.#factsOf(id)),
      Twin: ({ id }) => {
        const account = this.twins.get(id);
        const facts = { TwinID: id, Relay: '', EncryptionKey: null, BlockNumber: 1, AgeSeconds: 0 };
        return { ...facts, Found: account !== undefined, Account: account ?? new Uint8Array(32) };
      },
      Node: () => ({ NodeID: 11, TwinID: 3, FarmID: 1, FarmerTwinID: 2, BlockNumber: 1, AgeSeconds: 0 }),
      ActiveContracts: () =>
        [...this.contracts.values()].filter((one) => one.State !== 'deleted').map((one) => one.ContractID),
      Reported: ({ ids }) => ({
        BlockNumber: 9,
        Contracts: (ids ?? []).map((id) => {
          const { Found, State } = this.contracts.get(id) ?? NO_CONTRACT;
          const Used = this.consumption.get(id) ?? { HRU: 0n, SRU: 0n, CRU: 0n, MRU: 0n };
          return { ContractID: id, NodeID: Found && State !== 'deleted' ? 11 : 0, TrafficUntil: 0n, Used };
        }),
      }),
    }),
    Contracts$: (signal: AbortSignal) => this.events.read(signal),
  };

  readonly substrateGateway = this.#service(substrateGateway, {
    SetContractConsumption: ({ resources }) => {
      for (const { ContractID, Used } of resources) this.consumption.set(ContractID, Used);
    },
  });

  /** The chain takes the contract away and says so; `lost`: nobody hears it. */
  cancelContract(id: bigint, lost = false): void {
    const facts = this.contracts.get(id);
    if (facts === undefined) return;
    this.contracts.set(id, { ...facts, State: 'deleted' });
    this.tell('cancelled', id, lost);
  }

  /** Every question is answered at a newer block. */
  #factsOf(id: bigint): Infer<typeof ContractFacts> {
    this.block += 1;
    return { ...(this.contracts.get(id) ?? NO_CONTRACT), ContractID: id, BlockNumber: this.block };
  }

  /** One numbered event of the chain. */
  tell(Kind: string, ContractID = 0n, lost = false): void {
    this.sequence += 1;
    this.block += 1;
    const { block: BlockNumber } = this;
    const event = { Kind, ContractID, TwinID: 7, BlockNumber, Generation: this.generation, Sequence: this.sequence };
    if (!lost) this.events.push(event);
  }

  get #usedBytes(): number {
    const volumes = [...this.volumes.values()].reduce((sum, size) => sum + size, 0);
    return this.cacheBytes + volumes + [...this.disks.values()].reduce((sum, disk) => sum + disk.size, 0);
  }

  #allocate(size: number): void {
    if (this.#usedBytes + size > this.poolBytes) throw new Error('not enough space left in pools of this type ssd');
  }

  /** The contract carries another deployment's hash from now on, as after an update on the chain. */
  rehash(deployment: Deployment): void {
    const facts = this.contracts.get(deployment.contract_id);
    if (facts === undefined) throw new Error('the contract is not there');
    this.contracts.set(facts.ContractID, { ...facts, DeploymentHash: deploymentHash(deployment) });
  }

  #needNetwork(netId: string): void {
    if (![...this.networks.values()].includes(netId)) throw new Error(`network ${netId}: file does not exist`);
  }

  #volume(name: string) {
    const size = this.volumes.get(name);
    if (size === undefined) throw new Error(`no volume ${name}`);
    return { Name: name, Path: join(this.#folder, 'pool1', name), Usage: { Size: size, Used: 0 } };
  }

  #disk(name: string) {
    const disk = this.disks.get(name);
    if (disk === undefined) throw new Error(`no disk ${name}`);
    return { Path: join(this.#folder, 'pool1', 'vdisks', name), Size: disk.size };
  }

  /** Handlers of every method: those given, recorded and hooked; the others refuse. */
  #service<D extends InterfaceDefinition>(definition: D, given: Partial<Service<D>>): Service<D> {
    const handlers = given as Record<string, ((args: never) => unknown) | undefined>;
    const entries = Object.keys(definition.methods).map((method) => {
      const handler = async (args: Record<string, unknown>): Promise<unknown> => {
        const call = { method, args };
        this.calls.push(call);
        await this.hook(call, 'before');
        const act = handlers[method];
        if (act === undefined) throw new Error(`the test host has no ${method}`);
        const result = act(args as never);
        await this.hook(call, 'after');
        return result;
      };
      return [method, handler];
    });
    return Object.fromEntries(entries) as Service<D>;
  }
}

function owned(Kind: string, Name: string, owner: string, Bytes = 0): Infer<typeof Owned> {
  return { Kind, Name, Owner: ownerInName(owner), Bytes, Since: 0, Residue: false };
}

const NO_CONTRACT = {
  Found: false,
  TwinID: 0,
  Kind: '',
  State: '',
  NodeID: 0,
  DeploymentHash: '',
  PublicIPs: 0,
  RentedBy: 0,
  BlockNumber: 5,
  AgeSeconds: 0,
};
