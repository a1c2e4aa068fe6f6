/** A twin that deploys, for tests: makes documents, signs them, and has its contracts on the test chain. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { deploymentHash, type Formula, signedMessage } from '../../schemas/challenge.ts';
import { type Deployment, noResult, type Workload } from '../../schemas/deployment.ts';
import type { TestHost } from './host.ts';

const MIB = 1024 ** 2;
export const TEST_NODE = 11;

export class Tenant {
  readonly twin: number;
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  constructor(twin: number, key: KeyObject = generateKeyPairSync('ed25519').privateKey) {
    this.twin = twin;
    this.#key = key;
    this.publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32);
  }

  /** A signed deployment. */
  deployment(
    contract: bigint,
    workloads: Workload[],
    version = 0,
    metadata = '',
    formula: Formula = 'current',
  ): Deployment {
    const unsigned: Deployment = {
      version,
      twin_id: this.twin,
      contract_id: contract,
      metadata,
      description: '',
      expiration: 0,
      signature_requirement: {
        requests: [{ twin_id: this.twin, required: false, weight: 1 }],
        weight_required: 1,
        signatures: [],
        signature_style: '',
      },
      workloads,
    };
    unsigned.signature_requirement.signatures.push(this.signature(unsigned, formula));
    return unsigned;
  }

  /** This twin's signature under a deployment, whosever it is. */
  signature(deployment: Deployment, formula: Formula = 'current') {
    const signature = sign(null, signedMessage(deployment, formula), this.#key).toString('hex');
    return { twin_id: this.twin, signature, signature_type: 'ed25519' };
  }

  /** The same, with its contract on the test chain. */
  contracted(host: TestHost, contract: bigint, workloads: Workload[], formula: Formula = 'current'): Deployment {
    const deployment = this.deployment(contract, workloads, 0, '', formula);
    host.twins.set(this.twin, this.publicKey);
    host.contracts.set(contract, {
      Found: true,
      ContractID: contract,
      TwinID: this.twin,
      Kind: 'node',
      State: 'created',
      NodeID: TEST_NODE,
      DeploymentHash: deploymentHash(deployment, formula),
      PublicIPs: 0,
      RentedBy: 0,
      BlockNumber: 5,
      AgeSeconds: 0,
    });
    return deployment;
  }
}

/** The same workload, wanted from that version of its deployment on. */
export function at(version: number, workload: Workload): Workload {
  return { ...workload, version };
}

function workload(name: string, type: string, data: unknown): Workload {
  const result = noResult();
  return { version: 0, name, type, data: JSON.stringify(data), metadata: '', description: '', result };
}

export function networkWorkload(name: string, port = 0, peers: readonly string[] = []): Workload {
  return workload(name, 'network', {
    ip_range: '10.1.0.0/16',
    subnet: '10.1.2.0/24',
    wireguard_private_key: 'a2V5',
    wireguard_listen_port: port,
    peers: peers.map((subnet) => ({
      subnet,
      wireguard_public_key: 'cGVlcg==',
      allowed_ips: [subnet],
      endpoint: '',
    })),
  });
}

export function diskWorkload(name: string, size: number): Workload {
  return workload(name, 'zmount', { size });
}

export function volumeWorkload(name: string, size: number): Workload {
  return workload(name, 'volume', { size });
}

export interface MachineWish {
  readonly network?: string;
  readonly ip?: string;
  readonly mounts?: readonly string[];
  readonly memory?: number;
  readonly cpu?: number;
  readonly planetary?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

export function machineWorkload(name: string, wish: MachineWish = {}): Workload {
  return workload(name, 'zmachine', {
    flist: 'http://127.0.0.1:1/image.fl',
    network: {
      public_ip: '',
      planetary: wish.planetary ?? false,
      interfaces: [{ network: wish.network ?? 'net1', ip: wish.ip ?? '10.1.2.5' }],
    },
    size: 0,
    compute_capacity: { cpu: wish.cpu ?? 1, memory: wish.memory ?? 512 * MIB },
    mounts: (wish.mounts ?? []).map((mount) => ({ name: mount, mountpoint: `/${mount}` })),
    entrypoint: '/sbin/init',
    env: wish.environment ?? { GREETING: 'hello' },
  });
}
