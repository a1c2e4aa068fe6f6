/** The `chain` object: what the node must know, one read a question. */
import type { ContractFacts, chain, NodeRecord, TwinFacts } from '../../modules/api-gateway/interface.ts';
import type { Service } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { GridError } from '../../schemas/errors/index.ts';
import type { ChainClient, NodeInput, Twin } from './client.ts';
import { ContractWatch, type ContractWatchOptions } from './contract-watch.ts';
import { cannotBeAsked, type KnownAt, type LastKnown, twinKey } from './last-known.ts';
import type { NodeMembership } from './membership.ts';
import { readReported, reportTraffic } from './node-reports.ts';
import { ensureOwnNode } from './own-node.ts';
import { type TwinText, type UpdateMode, updateModes } from './own-twin.ts';
import type { ContractAt } from './reader.ts';
import type { Contract } from './records.ts';
import { SecondWitness } from './second-witness.ts';
import type { ChainStore } from './store.ts';
import { changedTwins } from './twin-events.ts';
import { type EnsuredTwin, ensureOwnTwin } from './twin-update.ts';

/** Milliseconds a question to the chain may take; callers have deadlines of their own above it. */
const READ_MS = 8_000;
/** Milliseconds one transaction may take. */
const WRITE_MS = 60_000;

/** Contracts of one question about reports: three entries of the chain's storage each. */
const MOST_REPORTED = 100;

const noAccount = new Uint8Array(32);

/** Contracts that one batch may ask for. */
const BATCH_LIMIT = 500;

export interface ChainServiceOptions {
  readonly client: ChainClient;
  readonly membership: NodeMembership;
  readonly store: ChainStore;
  readonly views: LastKnown;
  /** Of the client's identity; what its twin should have. */
  readonly encryptionKey: Uint8Array;
  /** Hears of every answer to `EnsureTwin`. */
  readonly onEnsured?: (outcome: EnsuredTwin) => void;
  readonly say: ContractWatchOptions['say'];
}

export function chainService({
  client,
  membership,
  store,
  views,
  encryptionKey,
  onEnsured,
  say,
}: ChainServiceOptions): Service<typeof chain> {
  const own = Buffer.from(client.publicKey).toString('hex');
  const witness = new SecondWitness(client.connection, {
    isLost: ({ contract, isEnding }) => !isEnding && isLostTo(contract, membership.known?.nodeId),
    say,
  });
  return {
    Contract: async ({ id }, { signal }) => {
      const settled = await witness.contract(id, { deadlineMs: READ_MS, signal });
      const facts = contractFacts(id, settled);
      views.keep(contractKey(id), { value: settled.contract === null ? undefined : facts, block: settled.block });
      if (settled.isOver) return { ...facts, State: 'deleted' };
      return settled.isEnding ? { ...facts, State: 'ending' } : facts;
    },

    ContractBatch: async ({ ids: given, mostAgeSeconds }, { signal }) => {
      const ids = given ?? [];
      if (ids.length > BATCH_LIMIT) {
        throw new GridError('chain_unsupported', {
          what: `a question about ${ids.length} contracts, more than ${BATCH_LIMIT},`,
        });
      }
      try {
        const found = await client.finalContracts(ids, { deadlineMs: READ_MS, signal });
        return found.map((one, index) => {
          const id = ids[index] ?? 0n;
          const facts = contractFacts(id, one);
          if (facts.Found) views.keep(contractKey(id), { value: facts, block: one.block });
          return facts;
        });
      } catch (error) {
        if (mostAgeSeconds === 0 || !cannotBeAsked(error)) throw error;
        return ids.flatMap((id) => {
          const kept = views.kept<Facts>(contractKey(id), mostAgeSeconds * 1000);
          return kept?.value === undefined ? [] : [{ ...kept.value, AgeSeconds: kept.ageSeconds }];
        });
      }
    },

    Twin: async ({ id }, { signal }) => {
      const limits = { deadlineMs: READ_MS, signal };
      return twinFacts(id, await views.ask(twinKey(id), limits, (within) => client.twinAt(id, within)));
    },

    OwnTwin: async (_args, { signal }) => {
      const limits = { deadlineMs: READ_MS, signal };
      const found = await views.ask<Twin>(`own-twin/${own}`, limits, async (within) => {
        const id = await client.twinIdOf(client.publicKey, within);
        return id === undefined ? { value: undefined, block: 0 } : await client.twinAt(id, within);
      });
      return twinFacts(found.value?.id ?? 0, found);
    },

    EnsureTwin: async ({ relays, create, update }) => {
      const wishes = { relays: relays ?? [], encryptionKey, create, update: updateMode(update) };
      const outcome = await ensureOwnTwin(client, wishes, { deadlineMs: WRITE_MS });
      onEnsured?.(outcome);
      return twinFacts(outcome.twin.id, { value: outcome.twin, block: 0, ageSeconds: 0 });
    },

    Node: async (_args, { signal }) => {
      const limits = { deadlineMs: READ_MS, signal };
      const { value, block, ageSeconds } = await views.ask(`membership/${own}`, limits, async (within) => {
        const found = await membership.find(within);
        return { value: found, block: found.block };
      });
      if (value === undefined) throw new GridError('chain_registration', { missing: 'node' });
      const { nodeId, twinId, farmId, farmerTwinId, at } = value;
      const AgeSeconds = Math.max(ageSeconds, Math.round(Math.max(0, Date.now() - at) / 1000));
      return {
        NodeID: nodeId,
        TwinID: twinId,
        FarmID: farmId,
        FarmerTwinID: farmerTwinId,
        BlockNumber: block,
        AgeSeconds,
      };
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

    Contracts$: (signal) => new ContractWatch({ client, membership, store, say }).events(signal),
    Twins$: (signal) => changedTwins(client, signal),
  };
}

type Facts = Infer<typeof ContractFacts>;

/** Gone for good, or at another node than this one. */
function isLostTo(contract: Contract | null, nodeId: number | undefined): boolean {
  if (contract === null || contract.state.kind === 'deleted') return true;
  const type = contract.contractType;
  return type.kind === 'node' && nodeId !== undefined && type.nodeId !== nodeId;
}

const contractKey = (id: bigint): string => `contract/${id}`;

function contractFacts(id: bigint, { contract, rentedBy, block }: ContractAt): Facts {
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
    AgeSeconds: 0,
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

function twinFacts(id: number, { value, block, ageSeconds }: KnownAt<Told>): Infer<typeof TwinFacts> {
  return {
    Found: value !== undefined,
    TwinID: id,
    Account: value?.account ?? noAccount,
    Relay: value?.relayText ?? '',
    EncryptionKey: value?.encryptionKey ?? null,
    BlockNumber: block,
    AgeSeconds: ageSeconds,
  };
}

function updateMode(text: string): UpdateMode {
  const mode = updateModes.find((known) => known === text);
  if (mode === undefined) throw new GridError('chain_unsupported', { what: `the way '${text}' to update a twin` });
  return mode;
}
