/** The demo's deployment: a network, a disk and a machine, signed by its twin. */
import type { Identity } from '../../gateway/rmb/index.ts';
import { generatePrivateKey, publicKeyOf } from '../../modules/wireguard/index.ts';
import {
  type Deployment,
  deploymentHash,
  formatContractData,
  MiB,
  parseDeployment,
  signedMessage,
} from '../../schemas/index.ts';

export interface DemoWish {
  readonly twinId: number;
  readonly flist: string;
  readonly greeting: string;
  /** Bytes. */
  readonly diskSize: number;
  readonly memory: number;
  readonly networkName: string;
}

export interface DemoPlan {
  readonly machineAddress: string;
  /** The node's WireGuard side as the user's configuration has it. */
  readonly node: { readonly publicKey: string; readonly listenPort: number; readonly range: string };
  /** The user's own side. */
  readonly user: { readonly privateKey: string; readonly address: string };
  /** Signed JSON for a contract; its hash does not depend on the contract's id. */
  readonly json: (contractId: bigint) => string;
  readonly hash: string;
}

const RANGE = '10.20.0.0/16';
const NODE_SUBNET = '10.20.2.0/24';
const USER_SUBNET = '10.20.3.0/24';
const MACHINE = '10.20.2.2';
/** Where grid clients put a peer's own address: 100.64 and the subnet's third and fourth number. */
const USER_TUNNEL = '100.64.20.3';
const LISTEN_PORT = 4127;

export const DISK_MOUNTPOINT = '/data';

export function planDemo(wish: DemoWish, identity: Identity): DemoPlan {
  const nodeKey = generatePrivateKey();
  const userKey = generatePrivateKey();
  const workload = (name: string, type: string, data: object): object => ({
    version: 0,
    name,
    type,
    data,
    metadata: '',
    description: '',
  });
  const unsigned = {
    version: 0,
    twin_id: wish.twinId,
    contract_id: 0,
    metadata: formatContractData({ version: 3, type: 'vm', name: 'demo', projectName: 'demo' }),
    description: 'gridnode demo',
    expiration: 0,
    signature_requirement: {
      requests: [{ twin_id: wish.twinId, required: false, weight: 1 }],
      weight_required: 1,
      signatures: [] as object[],
      signature_style: '',
    },
    workloads: [
      workload(wish.networkName, 'network', {
        ip_range: RANGE,
        subnet: NODE_SUBNET,
        wireguard_private_key: nodeKey,
        wireguard_listen_port: LISTEN_PORT,
        peers: [
          {
            subnet: USER_SUBNET,
            wireguard_public_key: publicKeyOf(userKey),
            allowed_ips: [USER_SUBNET, `${USER_TUNNEL}/32`],
            endpoint: '',
          },
        ],
      }),
      workload('disk', 'zmount', { size: wish.diskSize }),
      workload('vm', 'zmachine', {
        flist: wish.flist,
        network: { public_ip: '', planetary: false, interfaces: [{ network: wish.networkName, ip: MACHINE }] },
        size: 500 * MiB,
        compute_capacity: { cpu: 1, memory: wish.memory },
        mounts: [{ name: 'disk', mountpoint: DISK_MOUNTPOINT }],
        entrypoint: '/bin/sh /start.sh',
        env: { GREETING: wish.greeting },
        corex: false,
      }),
    ],
  };
  const parsed: Deployment = parseDeployment(JSON.stringify(unsigned));
  // The first byte of an RMB signature is its type; a deployment names the type in a field.
  const signature = Buffer.from(identity.sign(signedMessage(parsed)).subarray(1)).toString('hex');
  unsigned.signature_requirement.signatures.push({ twin_id: wish.twinId, signature, signature_type: identity.keyType });
  return {
    machineAddress: MACHINE,
    node: { publicKey: publicKeyOf(nodeKey), listenPort: LISTEN_PORT, range: RANGE },
    user: { privateKey: userKey, address: `${USER_TUNNEL}/32` },
    json: (contractId) => JSON.stringify({ ...unsigned, contract_id: Number(contractId) }),
    hash: deploymentHash(parsed),
  };
}
