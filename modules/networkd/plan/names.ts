/** Names of everything a network has on the host. Kernel-global inside the node's network namespace. */
import { GridError } from '../../../schemas/errors/index.ts';
import { isNetworkId } from './ids.ts';

/** Longest name of a Linux interface. */
export const INTERFACE_NAME_CHARACTERS = 15;

/** Bridge between the networks and the router namespace, and the two veths of that namespace. */
export const ROUTER = {
  namespace: 'ndmz',
  bridge: 'br-ndmz',
  /** Towards the networks; the other end is a port of the bridge. */
  inner: 'tonrs',
  innerPort: 'ndmz-tonrs',
  /** Towards the host. */
  outer: 'npub4',
  outerPort: 'ndmz-npub4',
} as const;

/** Interface inside a network's namespace that leads to the router. */
export const PUBLIC = 'public';

export interface NetworkNames {
  readonly namespace: string;
  /** Private bridge: the taps of the network's machines. */
  readonly bridge: string;
  /** The gateway's interface, inside the namespace. */
  readonly gateway: string;
  readonly wireguard: string;
  /** Host end of `public`, a port of the router's bridge. */
  readonly uplinkPort: string;
}

export function networkNames(netid: string): NetworkNames {
  return {
    namespace: `n-${netid}`,
    bridge: `b-${netid}`,
    gateway: `n-${netid}`,
    wireguard: `w-${netid}`,
    uplinkPort: `v-${netid}`,
  };
}

/** A private tap's name; `undefined` where it would be too long or hold characters no interface name may have. */
export function privateTapName(name: string): string | undefined {
  const tap = `t-${name}`;
  return /^[A-Za-z0-9_-]+$/.test(name) && tap.length <= INTERFACE_NAME_CHARACTERS ? tap : undefined;
}

/** The same; throws `network_invalid` where the name cannot be. */
export function checkedTapName(name: string): string {
  const tap = privateTapName(name);
  if (tap !== undefined) return tap;
  const limit = INTERFACE_NAME_CHARACTERS - 2;
  throw new GridError('network_invalid', {
    field: 'tap name',
    reason: `must be 1 to ${limit} letters, digits, _ or -; ${name.length} characters came`,
  });
}

export function isTapName(device: string): boolean {
  return device.startsWith('t-') && privateTapName(device.slice(2)) === device;
}

/** The network whose bridge, namespace, tunnel or uplink bears this name; `undefined` for what is no network's. */
export function networkOfPart(
  name: string,
  part: 'bridge' | 'namespace' | 'wireguard' | 'uplinkPort',
): string | undefined {
  const netid = name.slice(2);
  return isNetworkId(netid) && networkNames(netid)[part] === name ? netid : undefined;
}
