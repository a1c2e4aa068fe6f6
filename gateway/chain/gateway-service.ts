/** The standard object: the chain as the node's existing daemons ask for it. */
import type { substrateGateway } from '../../modules/api-gateway/interface.ts';
import type { Service } from '../../modules/zbus/definition.ts';
import { GridError } from '../../schemas/errors/index.ts';
import { ensureAccount } from './account.ts';
import type { ChainClient } from './client.ts';
import type { CallLimits } from './failures.ts';
import { emptyContract, goAccount, goContract, goFarm, goNode, goPower, goTwin, nodeInput } from './go-types.ts';
import { type LastKnown, twinKey } from './last-known.ts';
import type { NodeMembership } from './membership.ts';
import type { At } from './reader.ts';

const READ_MS = 8_000;
const WRITE_MS = 60_000;

/** Codes that travel as a second value instead of a call error. */
const FINE = 0;
const GENERIC = -1;
const NOT_FOUND = 1;
interface SecondValue {
  Err: string | null;
  Code: number;
}
const fine: SecondValue = { Err: null, Code: FINE };

/** A found value with no error, or `zero` with the error beside it. */
async function withCode<T, Z>(
  what: string,
  find: () => Promise<T | undefined>,
  zero: Z,
): Promise<[T | Z, SecondValue]> {
  try {
    const found = await find();
    return found === undefined ? [zero, { Err: `${what} not found`, Code: NOT_FOUND }] : [found, fine];
  } catch (error) {
    return [zero, { Err: error instanceof Error ? error.message : String(error), Code: GENERIC }];
  }
}

async function found<T>(what: string, id: number, record: Promise<T | undefined>): Promise<T> {
  const value = await record;
  if (value === undefined) throw new GridError('chain_not_found', { what, id: String(id) });
  return value;
}

/** Ids never change hands: which block they were read at is nobody's question. */
const unpinned = <T>(value: T | undefined): At<T> => ({ value, block: 0 });

const hashBytes = (hash: string): Uint8Array => new Uint8Array(Buffer.from(hash.slice(2), 'hex'));

export interface GatewayServiceOptions {
  readonly client: ChainClient;
  readonly membership: NodeMembership;
  readonly views: LastKnown;
}

/** Who and where somebody is changes seldom and is told from memory while the chain is away; what binds or costs never is. */
export function gatewayService({ client, membership, views }: GatewayServiceOptions): Service<typeof substrateGateway> {
  const reading = (signal: AbortSignal): { deadlineMs: number; signal: AbortSignal } => ({
    deadlineMs: READ_MS,
    signal,
  });
  // A sent transaction cannot be taken back, so a caller that left does not stop it.
  const writing = { deadlineMs: WRITE_MS };
  const known = async <T>(
    key: string,
    signal: AbortSignal,
    read: (limits: CallLimits) => Promise<At<T>>,
  ): Promise<T | undefined> => (await views.ask(key, reading(signal), read)).value;
  return {
    GetContract: ({ id }, { signal }) =>
      withCode(
        `contract ${id}`,
        async () => {
          const contract = await client.contract(id, reading(signal));
          return contract === undefined ? undefined : goContract(contract);
        },
        emptyContract,
      ),
    GetContractIDByNameRegistration: ({ name }, { signal }) =>
      withCode(`contract of name ${name}`, () => client.contractByName(name, reading(signal)), 0n),
    GetFarm: async ({ id }, { signal }) =>
      goFarm(
        await found(
          'farm',
          id,
          known(`farm/${id}`, signal, (limits) => client.farmAt(id, limits)),
        ),
      ),
    GetNode: async ({ id }, { signal }) =>
      goNode(
        await found(
          'node',
          id,
          known(`node/${id}`, signal, (limits) => client.nodeAt(id, limits)),
        ),
      ),
    GetNodeByTwinID: ({ twin }, { signal }) =>
      withCode(
        `node of twin ${twin}`,
        () => known(`node-of/${twin}`, signal, async (limits) => unpinned(await client.nodeIdOf(twin, limits))),
        0,
      ),
    GetNodeContracts: ({ node }, { signal }) => client.activeContracts(node, reading(signal)),
    GetNodeRentContract: ({ node }, { signal }) =>
      withCode(`rent contract of node ${node}`, () => client.rentContract(node, reading(signal)), 0n),
    GetNodes: ({ farmID }, { signal }) => client.nodesOf(farmID, reading(signal)),
    GetPowerTarget: async ({ nodeID }, { signal }) => goPower(await client.power(nodeID, reading(signal))),
    GetTime: async (_args, { signal }) => {
      const milliseconds = await client.time(reading(signal));
      return { seconds: BigInt(Math.floor(milliseconds / 1000)), nanoseconds: (milliseconds % 1000) * 1_000_000 };
    },
    GetTwin: async ({ id }, { signal }) =>
      goTwin(
        await found(
          'twin',
          id,
          known(twinKey(id), signal, (limits) => client.twinAt(id, limits)),
        ),
      ),
    GetTwinByPubKey: ({ pk }, { signal }) => {
      const account = pk ?? new Uint8Array(32);
      const key = `twin-of/${Buffer.from(account).toString('hex')}`;
      return withCode(
        'twin',
        () => known(key, signal, async (limits) => unpinned(await client.twinIdOf(account, limits))),
        0,
      );
    },
    GetZosVersion: (_args, { signal }) => client.zosVersion(reading(signal)),

    CreateTwin: ({ relay, pk }) => client.createTwin({ relay, encryptionKey: pk }, writing),
    CreateNode: ({ node }) => client.createNode(nodeInput(node), writing),
    UpdateNode: async ({ node }) => {
      membership.forget();
      return await client.updateNode(node.ID, nodeInput(node), writing);
    },
    EnsureAccount: async ({ activationURL, termsAndConditionsLink, termsAndConditionsHash }) =>
      goAccount(await ensureAccount(client, activationURL, termsAndConditionsLink, termsAndConditionsHash)),
    Report: async ({ consumptions }) =>
      hashBytes(
        await client.reportNetworkUse(
          consumptions.map(({ ContractID, Timestamp, Window, NRU }) => ({
            contractId: ContractID,
            timestamp: Timestamp,
            window: Window,
            nru: NRU,
          })),
          writing,
        ),
      ),
    SetContractConsumption: async ({ resources }) => {
      await client.reportContractResources(
        resources.map(({ ContractID, Used }) => ({
          contractId: ContractID,
          used: { hru: Used.HRU, sru: Used.SRU, cru: Used.CRU, mru: Used.MRU },
        })),
        writing,
      );
    },
    SetNodePowerState: async ({ up }) => hashBytes(await client.setPowerState(up, writing)),
    UpdateNodeUptimeV2: async ({ uptime, timestampHint }) =>
      hashBytes(await client.reportUptime(BigInt(uptime), timestampHint, writing)),
    UpdateSubstrateGatewayConnection: () => {
      throw new GridError('chain_unsupported', { what: 'UpdateSubstrateGatewayConnection' });
    },
  };
}
