/** A twin that deploys on a test node: makes, signs, pays for, sends and watches deployments as a grid client does. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyName } from '../../cli/node/keys.ts';
import type { Peer } from '../../cli/node/peer.ts';
import type { ChainClient } from '../../gateway/chain/client.ts';
import { type Identity, RmbError } from '../../gateway/rmb/index.ts';
import { generatePrivateKey } from '../../modules/wireguard/index.ts';
import {
  buildDeployment,
  buildWorkload,
  type CapacityReport,
  capacityGet,
  type Deployment,
  deploymentChanges,
  deploymentDeploy,
  deploymentGet,
  deploymentHash,
  deploymentList,
  deploymentUpdate,
  formatDeployment,
  MiB,
  network,
  parseOutput,
  signedMessage,
  systemVersion,
  type Workload,
  withSignature,
  zmachine,
  zmount,
} from '../../schemas/index.ts';
import type { TestNode } from './test-node.ts';

const CALL_DEADLINE_MS = 30_000;
const SETTLE_DEADLINE_MS = 180_000;
const POLL_MS = 100;

/** The `index`th network: a range, a WireGuard port and a machine address of its own. */
export function networkWorkload(name: string, index: number): Workload {
  return buildWorkload(network, name, {
    ip_range: `10.${20 + index}.0.0/16`,
    subnet: `10.${20 + index}.2.0/24`,
    wireguard_private_key: generatePrivateKey(),
    wireguard_listen_port: 4200 + index,
    peers: [],
  });
}

export const machineAddress = (index: number): string => `10.${20 + index}.2.2`;

export function diskWorkload(name: string, size: number): Workload {
  return buildWorkload(zmount, name, { size });
}

export interface MachineWish {
  readonly flist: string;
  readonly network: string;
  readonly address: string;
  readonly disk?: string;
  readonly memory?: number;
  readonly size?: number;
  readonly entrypoint?: string;
  readonly greeting?: string;
}

export function machineWorkload(name: string, wish: MachineWish): Workload {
  return buildWorkload(zmachine, name, {
    flist: wish.flist,
    network: {
      public_ip: '',
      planetary: false,
      interfaces: [{ network: wish.network, ip: wish.address }],
    },
    size: wish.size ?? 500 * MiB,
    compute_capacity: { cpu: 1, memory: wish.memory ?? 256 * MiB },
    mounts: wish.disk === undefined ? [] : [{ name: wish.disk, mountpoint: '/data' }],
    entrypoint: wish.entrypoint ?? '/bin/sh /start.sh',
    env: { GREETING: wish.greeting ?? 'hello' },
    corex: false,
    gpu: [],
  });
}

/** Size of the disk of `siteWorkloads`. */
export const DISK_BYTES = 128 * MiB;

/** A network, a disk and a machine on it, all named after `name`. */
export function siteWorkloads(name: string, index: number, flist: string, greeting = name): Workload[] {
  return [
    networkWorkload(`${name}net`, index),
    diskWorkload(`${name}disk`, DISK_BYTES),
    machineWorkload(`${name}vm`, {
      flist,
      network: `${name}net`,
      address: machineAddress(index),
      disk: `${name}disk`,
      greeting,
    }),
  ];
}

export class Tenant {
  readonly node: TestNode;
  readonly identity: Identity;
  readonly twin: number;
  readonly peer: Peer;
  readonly chain: ChainClient;

  private constructor(node: TestNode, identity: Identity, peer: Peer, chain: ChainClient) {
    this.node = node;
    this.identity = identity;
    this.peer = peer;
    this.twin = peer.twin;
    this.chain = chain;
  }

  static async open(node: TestNode, name: KeyName = 'user'): Promise<Tenant> {
    return new Tenant(node, await node.identity(name), await node.peer(name), await node.chain(name));
  }

  /** A deployment signed by this twin; its contract is 0. */
  sign(workloads: readonly Workload[], change: Partial<Deployment> = {}): Deployment {
    const unsigned = { ...buildDeployment({ twinId: this.twin, workloads }), ...change };
    // The first byte of an RMB signature is its type; a deployment names the type in a field.
    const signature = this.identity.sign(signedMessage(unsigned)).subarray(1);
    return withSignature(unsigned, this.twin, this.identity.keyType, signature);
  }

  contractFor(deployment: Deployment, nodeId = this.node.registration.nodeId): Promise<bigint> {
    return this.chain.createNodeContract({ nodeId, hash: deploymentHash(deployment), data: '', publicIps: 0 });
  }

  /** Sends a deployment on a contract; returns when it is accepted. Throws `RmbError`. */
  async send(deployment: Deployment, contract: bigint): Promise<void> {
    const json = formatDeployment({ ...deployment, contract_id: contract });
    await this.peer.callNode(deploymentDeploy.name, json, CALL_DEADLINE_MS);
  }

  /** Signs, pays for and sends; the contract's id. */
  async deploy(workloads: readonly Workload[]): Promise<bigint> {
    const deployment = this.sign(workloads);
    const contract = await this.contractFor(deployment);
    await this.send(deployment, contract);
    return contract;
  }

  /** Signs the next version of a deployment, gives its contract the hash and sends it; returns when it is accepted. */
  async update(contract: bigint, workloads: readonly Workload[], version: number): Promise<void> {
    const deployment = this.sign(workloads, { version, contract_id: contract });
    await this.chain.updateNodeContract(contract, deploymentHash(deployment));
    await this.peer.callNode(deploymentUpdate.name, formatDeployment(deployment), CALL_DEADLINE_MS);
  }

  /** The deployment as the node shows it. */
  async deployment(contract: bigint): Promise<Deployment> {
    const payload = JSON.stringify({ contract_id: Number(contract) });
    return parseOutput(deploymentGet, await this.peer.callNode(deploymentGet.name, payload, CALL_DEADLINE_MS));
  }

  /** Every state change, oldest first; `[name, state, message]`. */
  async changes(contract: bigint): Promise<(readonly [name: string, state: string, message: string])[]> {
    const payload = JSON.stringify({ contract_id: Number(contract) });
    const answer = await this.peer.callNode(deploymentChanges.name, payload, CALL_DEADLINE_MS);
    return parseOutput(deploymentChanges, answer).map(({ name, result }) => [name, result.state, result.message]);
  }

  /** Waits until every workload ran or failed; their last states by name. */
  async settled(contract: bigint): Promise<Map<string, { readonly state: string; readonly message: string }>> {
    const until = Date.now() + SETTLE_DEADLINE_MS;
    for (;;) {
      // The node may be restarting at this moment; the question is asked again.
      const changes = await this.changes(contract).catch((error: unknown) => {
        if (error instanceof RmbError && Date.now() < until) return [];
        throw error;
      });
      const last = new Map(changes.map(([name, state, message]) => [name, { state, message }]));
      if (last.size > 0 && [...last.values()].every(({ state }) => state !== 'init')) return last;
      if (Date.now() > until) throw new Error(`not settled: ${JSON.stringify(changes)}`);
      await sleep(POLL_MS);
    }
  }

  async capacity(): Promise<CapacityReport> {
    return parseOutput(capacityGet, await this.peer.callNode(capacityGet.name, '', CALL_DEADLINE_MS));
  }

  /** Milliseconds until the node answers `zos.system.version`; asked again until `deadlineMs`. */
  async answered(deadlineMs = 60_000): Promise<number> {
    const began = performance.now();
    for (;;) {
      try {
        parseOutput(systemVersion, await this.peer.callNode(systemVersion.name, '', 2_000));
        return performance.now() - began;
      } catch (error) {
        if (performance.now() - began > deadlineMs) throw error;
        await sleep(POLL_MS);
      }
    }
  }

  /** Cancels the contract and waits until the node lists no deployment of it and promises nothing for it. */
  async cancel(contract: bigint): Promise<void> {
    await this.chain.cancelContract(contract);
    const until = Date.now() + SETTLE_DEADLINE_MS;
    for (;;) {
      const left = await this.#left(contract);
      if (left === undefined) return;
      if (Date.now() > until) throw new Error(`contract ${contract} was cancelled and is still there: ${left}`);
      await sleep(POLL_MS);
    }
  }

  async #left(contract: bigint): Promise<string | undefined> {
    try {
      const list = parseOutput(deploymentList, await this.peer.callNode(deploymentList.name, '', CALL_DEADLINE_MS));
      if (list.some((one) => one.contract_id === contract)) return 'listed';
      const changes = await this.changes(contract);
      const open = new Map(changes.map(([name, state]) => [name, state]));
      const kept = [...open].filter(([, state]) => state !== 'deleted' && state !== 'error');
      return kept.length === 0 ? undefined : JSON.stringify(kept);
    } catch (error) {
      if (!(error instanceof RmbError)) throw error;
      return /deployment not found/.test(error.message) ? undefined : error.message;
    }
  }
}
