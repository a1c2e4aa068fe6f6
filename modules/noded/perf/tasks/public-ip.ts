/** `public-ip-validation`: what can be said of the farm's public addresses. One node of a farm does it for all. */
import { BlockList, isIP } from 'node:net';
import type { Task } from '../task.ts';

export interface FarmAddress {
  /** With prefix length, as the chain has it. */
  readonly ip: string;
  readonly gateway: string;
  /** 0 when free. */
  readonly contract: bigint;
}

export interface FarmView {
  readonly node: number;
  /** Every node of the farm. */
  readonly nodes: readonly number[];
  readonly addresses: readonly FarmAddress[];
}

interface Report {
  readonly state: 'valid' | 'invalid' | 'skipped';
  readonly reason: string;
}

export interface PublicIpOptions {
  readonly farm: (signal: AbortSignal) => Promise<FarmView>;
  /** Whether another node of the farm answers, as far as can be told from here. */
  readonly isUp: (node: number, signal: AbortSignal) => Promise<boolean>;
}

export function publicIpValidation({ farm, isUp }: PublicIpOptions): Task {
  return {
    name: 'public-ip-validation',
    description: "Checks the farm's public addresses; runs on the farm's node of the lowest id that is up",
    schedule: '0 0 */6 * * *',
    jitterSeconds: 600,
    firstAfterSeconds: 60,
    deadlineMs: 5 * 60_000,
    isHeavy: false,
    run: async (signal) => {
      const view = await farm(signal);
      const before = view.nodes.filter((node) => node < view.node).sort((a, b) => a - b);
      for (const node of before) if (await isUp(node, signal)) return {};
      return Object.fromEntries(view.addresses.map((address) => [address.ip, { ...reportOf(address) }]));
    },
  };
}

function reportOf({ ip, gateway, contract }: FarmAddress): Report {
  if (contract !== 0n) return { state: 'skipped', reason: 'ip is already assigned to a contract' };
  if (!isUsable(ip, gateway)) return { state: 'invalid', reason: 'public ip or gateway data are not valid' };
  // What is left is to bear the address and ask from outside who is seen: the internet is not in this node's hand.
  return { state: 'skipped', reason: 'failed to get real public IP to the node' };
}

/** Whether a machine could be given the address and reach the gateway from it. */
function isUsable(ip: string, gateway: string): boolean {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(ip) ?? [];
  const version = isIP(address);
  if (version === 0 || isIP(gateway) !== version || address === gateway) return false;
  const width = version === 4 ? 32 : 128;
  if (Number(bits) < 1 || Number(bits) > width) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const subnet = new BlockList();
  subnet.addSubnet(address, Number(bits), family);
  return subnet.check(gateway, family);
}
