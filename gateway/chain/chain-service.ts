/** The `chain` object: what the node must know, one read a question. */
import type { chain } from '../../modules/api-gateway/interface.ts';
import type { Service } from '../../modules/zbus/definition.ts';
import type { ChainClient } from './client.ts';
import { ContractWatch } from './contract-watch.ts';
import type { NodeMembership } from './membership.ts';
import { records } from './records.ts';

/** Milliseconds a question to the chain may take; callers have deadlines of their own above it. */
const READ_MS = 8_000;

const noAccount = new Uint8Array(32);

export function chainService(client: ChainClient, membership: NodeMembership): Service<typeof chain> {
  return {
    Contract: async ({ id }, { signal }) => {
      const { contract, rentedBy, block } = await client.contractAt(id, { deadlineMs: READ_MS, signal });
      const type = contract?.contractType;
      return {
        Found: contract !== null,
        ContractID: id,
        TwinID: contract?.twinId ?? 0,
        Kind: type?.kind ?? '',
        State: contract?.state.kind ?? '',
        NodeID: type === undefined || type.kind === 'name' ? 0 : type.nodeId,
        DeploymentHash: type?.kind === 'node' ? new TextDecoder().decode(type.deploymentHash) : '',
        PublicIPs: type?.kind === 'node' ? type.publicIps : 0,
        RentedBy: rentedBy,
        BlockNumber: block,
      };
    },

    Twin: async ({ id }, { signal }) => {
      const twin = await client.twin(id, { deadlineMs: READ_MS, signal });
      return {
        Found: twin !== undefined,
        TwinID: id,
        Account: twin?.account ?? noAccount,
        Relay: twin?.relayText ?? '',
        EncryptionKey: twin?.encryptionKey ?? null,
      };
    },

    Node: async (_args, { signal }) => {
      const { nodeId, twinId, farmId, farmerTwinId } = await membership.find({ deadlineMs: READ_MS, signal });
      return { NodeID: nodeId, TwinID: twinId, FarmID: farmId, FarmerTwinID: farmerTwinId };
    },

    ActiveContracts: async (_args, { signal }) => {
      const { nodeId } = await membership.find({ deadlineMs: READ_MS, signal });
      return await client.activeContracts(nodeId, { deadlineMs: READ_MS, signal });
    },

    Contracts$: (signal) => new ContractWatch(client, membership).events(signal),
    Twins$: (signal) => changedTwins(client, signal),
  };
}

/** Ids of twins as soon as a block makes or changes them. A listener reads the twin anew, so early is good. */
async function* changedTwins(client: ChainClient, signal: AbortSignal): AsyncGenerator<number> {
  for await (const block of client.blocks('best', signal)) {
    for (const { pallet, name, data } of block.events) {
      if (pallet === 'tfgridModule' && (name === 'TwinStored' || name === 'TwinUpdated')) {
        yield records.twin.parse(data[0]).id;
      }
    }
  }
}
