/** What stands on the chain for a deployment: its node contract, and the words that clients find their things by. */
import type { z } from 'zod';
import { deploymentHash } from './challenge.ts';
import type { Deployment } from './deployment.ts';
import { GridError } from './errors/index.ts';
import { described, encode, list, optional, struct } from './gojson/codec.ts';
import { text, uint32 } from './gojson/values.ts';
import { deploymentNeeds } from './validate.ts';

/** UTF-8 bytes of a contract's data that the chain takes. */
export const MAX_CONTRACT_DATA_BYTES = 512;

export const ContractData = struct(
  'gridnode.ContractData',
  {
    version: described(uint32, '3 for things of full nodes, 4 for those of light ones'),
    type: described(
      text,
      '`vm`, `vm-light`, `network`, `network-light`, `kubernetes`, `Gateway Name` or `Gateway Fqdn`; clients may add more',
    ),
    name: described(text, 'name of the thing as its owner knows it'),
    projectName: described(optional(text), 'things of one project are listed together; `vm/vm1` where there is none'),
  },
  'JSON text that clients put on a node contract, and often in the `metadata` of its deployment, to find their things again. Nodes do not read it.',
);
export type ContractData = z.output<typeof ContractData>;

export const NetworkMetadata = struct(
  'gridnode.NetworkMetadata',
  {
    version: described(uint32, '3'),
    user_accesses: described(
      list(
        struct(
          'gridnode.UserAccess',
          {
            subnet: described(text, "address range of the person's side"),
            private_key: described(text, "the person's WireGuard key in clear; whoever reads the deployment has it"),
            node_id: described(uint32, 'node by which the person comes in'),
          },
          "A person's way into a network.",
        ),
      ),
      'ways in for people',
    ),
  },
  'JSON text that clients put in the `metadata` of a network workload.',
);
export type NetworkMetadata = z.output<typeof NetworkMetadata>;

export const NodeContract = struct(
  'gridnode.NodeContract',
  {
    node_id: described(uint32, 'node of the chain that is to run the deployment'),
    deployment_hash: described(
      text,
      'the 32 lower-case hex digits of the challenge hash, on the chain as 32 ASCII bytes',
      {
        pattern: '^[0-9a-f]{32}$',
      },
    ),
    deployment_data: described(text, `at most ${MAX_CONTRACT_DATA_BYTES} bytes; usually the text of a ContractData`),
    public_ips: described(uint32, 'public IPv4 addresses that its workloads take'),
  },
  'What a client gives to `create_node_contract` before it sends the deployment.',
);
export type NodeContract = z.output<typeof NodeContract>;

/** The text for a contract's data. Throws `GridError` `contract_data_too_long`. */
export function formatContractData(data: ContractData): string {
  return checked(encode(ContractData, data));
}

/**
 * The contract that a deployment needs on a node; its public addresses are those its workloads take.
 * Throws for types and data that cannot be read, and `GridError` `contract_data_too_long`.
 */
export function nodeContractOf(deployment: Deployment, nodeId: number, data = ''): NodeContract {
  return {
    node_id: nodeId,
    deployment_hash: deploymentHash(deployment),
    deployment_data: checked(data),
    public_ips: deploymentNeeds(deployment).ipv4u,
  };
}

function checked(data: string): string {
  const bytes = new TextEncoder().encode(data).length;
  if (bytes > MAX_CONTRACT_DATA_BYTES)
    throw new GridError('contract_data_too_long', { bytes, limit: MAX_CONTRACT_DATA_BYTES });
  return data;
}
