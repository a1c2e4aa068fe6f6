/** What the measurements ask the chain: the farm, its public addresses, its nodes that others can reach. */
import { connect } from 'node:net';
import { chain, type Node, substrateGateway } from '../../api-gateway/interface.ts';
import type { ZbusClient } from '../../zbus/client.ts';
import type { CallOptions } from '../../zbus/definition.ts';
import type { Infer } from '../../zbus/wire.ts';
import { IPERF_PORT, type Peer } from './peer.ts';
import { MAX_PEERS } from './tasks/iperf.ts';
import type { FarmView } from './tasks/public-ip.ts';

const ASK_DEADLINE_MS = 10_000;
const ANSWER_DEADLINE_MS = 2_000;
/** Where a node's address on its farm's own network stands in its record. */
const FARM_INTERFACE = 'zos';
/** Any port tells: a refusal comes from a host that is up, too. */
const PROBE_PORT = 22;

export class ChainView {
  readonly #chain;
  readonly #gateway;

  constructor(bus: ZbusClient) {
    this.#chain = bus.of(chain);
    this.#gateway = bus.of(substrateGateway);
  }

  /** Milliseconds since 1970 of the latest block. */
  async time(signal: AbortSignal): Promise<number> {
    const { seconds, nanoseconds } = await this.#gateway.GetTime({}, asking(signal));
    return Number(seconds) * 1000 + nanoseconds / 1e6;
  }

  async farm(signal: AbortSignal): Promise<FarmView> {
    const own = await this.#chain.Node({}, asking(signal));
    const [farm, nodes] = await Promise.all([
      this.#gateway.GetFarm({ id: own.FarmID }, asking(signal)),
      this.#gateway.GetNodes({ farmID: own.FarmID }, asking(signal)),
    ]);
    return {
      node: own.NodeID,
      nodes,
      addresses: farm.PublicIPs.map(({ IP, Gateway, ContractID }) => ({
        ip: IP,
        gateway: Gateway,
        contract: BigInt(ContractID),
      })),
    };
  }

  /** Whether something answers at the address that a node of this farm has in the farm's own network. */
  async isUp(node: number, signal: AbortSignal): Promise<boolean> {
    const record = await this.#gateway.GetNode({ id: node }, asking(signal));
    const addresses = record.Interfaces.find(({ Name }) => Name === FARM_INTERFACE)?.IPs ?? [];
    const answers = await Promise.all(addresses.map((address) => isHostUp(bare(address), signal)));
    return answers.includes(true);
  }

  /** Nodes of this farm that have a public address, without this one. */
  async peers(signal: AbortSignal): Promise<Peer[]> {
    const own = await this.#chain.Node({}, asking(signal));
    const ids = await this.#gateway.GetNodes({ farmID: own.FarmID }, asking(signal));
    const found: Peer[] = [];
    for (const id of ids) {
      if (found.length >= MAX_PEERS) break;
      const record = id === own.NodeID ? undefined : await this.#gateway.GetNode({ id }, asking(signal));
      if (record !== undefined) found.push(...publicAddresses(record).map((host) => ({ host, port: IPERF_PORT })));
    }
    return found;
  }
}

function asking(signal: AbortSignal): CallOptions {
  return { deadlineMs: ASK_DEADLINE_MS, signal };
}

function bare(address: string): string {
  return address.split('/')[0] ?? '';
}

function publicAddresses({ PublicConfig: { HasValue, AsValue } }: Infer<typeof Node>): string[] {
  if (!HasValue) return [];
  const six = AsValue.IP6.HasValue ? AsValue.IP6.AsValue.IP : '';
  return [AsValue.IP4.IP, six].map(bare).filter((address) => address !== '');
}

function isHostUp(host: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port: PROBE_PORT, signal });
    const settle = (isUp: boolean): void => {
      socket.destroy();
      resolve(isUp);
    };
    socket.setTimeout(ANSWER_DEADLINE_MS, () => settle(false));
    socket.once('connect', () => settle(true));
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'ECONNREFUSED'));
  });
}
