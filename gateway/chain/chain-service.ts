/** The `chain` object: what the node must know, one read a question. */
import type { chain, NodeRecord, TwinFacts } from '../../modules/api-gateway/interface.ts';
import type { Service } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { GridError } from '../../schemas/errors/index.ts';
import type { ChainClient, NodeInput, Twin } from './client.ts';
import { ContractWatch } from './contract-watch.ts';
import type { NodeMembership } from './membership.ts';
import { readReported, reportTraffic } from './node-reports.ts';
import { ensureOwnNode } from './own-node.ts';
import { type TwinText, type UpdateMode, updateModes } from './own-twin.ts';
import { settledContract } from './settled-contract.ts';
import { changedTwins } from './twin-events.ts';
import { type EnsuredTwin, ensureOwnTwin } from './twin-update.ts';

/** Milliseconds a question to the chain may take; callers have deadlines of their own above it. */
const READ_MS = 8_000;
/** Milliseconds one transaction may take. */
const WRITE_MS = 60_000;

/** Contracts of one question about reports: three entries of the chain's storage each. */
const MOST_REPORTED = 100;

const noAccount = new Uint8Array(32);

export interface ChainServiceOptions {
  readonly client: ChainClient;
  readonly membership: NodeMembership;
  /** Of the client's identity; what its twin should have. */
  readonly encryptionKey: Uint8Array;
  /** Hears of every answer to `EnsureTwin`. */
  readonly onEnsured?: (outcome: EnsuredTwin) => void;
}

export function chainService({
  client,
  membership,
  encryptionKey,
  onEnsured,
}: ChainServiceOptions): Service<typeof chain> {
  return {
    Contract: async ({ id }, { signal }) => {
      const settled = await settledContract(client, id, { deadlineMs: READ_MS, signal });
      const { contract, rentedBy, block } = settled;
      const type = contract?.contractType;
      return {
        Found: contract !== null,
        ContractID: id,
        TwinID: contract?.twinId ?? 0,
        Kind: type?.kind ?? '',
        State: settled.isEnding ? 'ending' : (contract?.state.kind ?? ''),
        NodeID: type === undefined || type.kind === 'name' ? 0 : type.nodeId,
        DeploymentHash: type?.kind === 'node' ? new TextDecoder().decode(type.deploymentHash) : '',
        PublicIPs: type?.kind === 'node' ? type.publicIps : 0,
        RentedBy: rentedBy,
        BlockNumber: block,
      };
    },

    Twin: async ({ id }, { signal }) => {
      return twinFacts(id, await client.twin(id, { deadlineMs: READ_MS, signal }));
    },

    OwnTwin: async (_args, { signal }) => {
      const twin = await client.twinByAccount(client.publicKey, { deadlineMs: READ_MS, signal });
      return twinFacts(twin?.id ?? 0, twin);
    },

    EnsureTwin: async ({ relays, create, update }) => {
      const wishes = { relays: relays ?? [], encryptionKey, create, update: updateMode(update) };
      const outcome = await ensureOwnTwin(client, wishes, { deadlineMs: WRITE_MS });
      onEnsured?.(outcome);
      return twinFacts(outcome.twin.id, outcome.twin);
    },

    Node: async (_args, { signal }) => {
      const { nodeId, twinId, farmId, farmerTwinId } = await membership.find({ deadlineMs: READ_MS, signal });
      return { NodeID: nodeId, TwinID: twinId, FarmID: farmId, FarmerTwinID: farmerTwinId };
    },

    ActiveContracts: async (_args, { signal }) => {
      const { nodeId } = await membership.find({ deadlineMs: READ_MS, signal });
      return await client.activeContracts(nodeId, { deadlineMs: READ_MS, signal });
    },

    Reported: async ({ ids }, { signal }) => {
      if (ids.length > MOST_REPORTED) {
        throw new GridError('chain_unsupported', {
          what: `the reports of more than ${MOST_REPORTED} contracts at once`,
        });
      }
      const { block, contracts } = await readReported(client, ids, { deadlineMs: READ_MS, signal });
      return { BlockNumber: block, Contracts: [...contracts] };
    },

    // A sent transaction cannot be taken back, so a caller that left does not stop it.
    ReportTraffic: ({ consumptions, birth }) =>
      reportTraffic(
        client,
        consumptions.map(({ ContractID, Timestamp, Window, NRU }) => ({
          contractId: ContractID,
          timestamp: Timestamp,
          window: Window,
          nru: NRU,
        })),
        birth,
        { deadlineMs: WRITE_MS },
      ),

    EnsureNode: async ({ record }) => {
      const ensured = await ensureOwnNode(client, nodeWishes(record), { deadlineMs: WRITE_MS });
      if (ensured.done !== 'nothing') membership.forget();
      return { NodeID: ensured.nodeId, Done: ensured.done, Differences: [...ensured.differences] };
    },

    Contracts$: (signal) => new ContractWatch(client, membership).events(signal),
    Twins$: (signal) => changedTwins(client, signal),
  };
}

/** A record without a place leaves the one that the chain has. */
function nodeWishes(record: Infer<typeof NodeRecord>): NodeInput {
  const { HRU: hru, SRU: sru, CRU: cru, MRU: mru } = record.Resources;
  const { City: city, Country: country, Latitude: latitude, Longitude: longitude } = record.Location;
  return {
    farmId: record.FarmID,
    resources: { hru, sru, cru, mru },
    ...(latitude === '' || longitude === '' ? {} : { location: { city, country, latitude, longitude } }),
    interfaces: record.Interfaces.map(({ Name, Mac, IPs }) => ({ name: Name, mac: Mac, ips: IPs })),
    secureBoot: record.SecureBoot,
    virtualized: record.Virtualized,
    serialNumber: record.BoardSerial === '' ? null : record.BoardSerial,
  };
}

type Told = Pick<Twin, 'account' | 'relayText'> & Pick<TwinText, 'encryptionKey'>;

function twinFacts(id: number, twin: Told | undefined): Infer<typeof TwinFacts> {
  return {
    Found: twin !== undefined,
    TwinID: id,
    Account: twin?.account ?? noAccount,
    Relay: twin?.relayText ?? '',
    EncryptionKey: twin?.encryptionKey ?? null,
  };
}

function updateMode(text: string): UpdateMode {
  const mode = updateModes.find((known) => known === text);
  if (mode === undefined) throw new GridError('chain_unsupported', { what: `the way '${text}' to update a twin` });
  return mode;
}
