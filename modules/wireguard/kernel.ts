/** WireGuard by the kernel's own device; configured with `wg`, which reads everything from its stdin. */
import { command, inNamespace } from './command.ts';
import type { DevicePlace, WireguardConfig, WireguardDriver, WireguardPeerStatus, WireguardStatus } from './device.ts';
import { WireguardError } from './device.ts';

/** `wg` opens /dev/stdin, which the socket that is a child's stdin here does not allow; a pipe does. */
const SYNC = 'cat | wg syncconf "$0" /dev/stdin';

export class KernelWireguard implements WireguardDriver {
  readonly kind = 'kernel';

  async ensureDevice(place: DevicePlace): Promise<{ created: boolean }> {
    if (await this.#exists(place)) return { created: false };
    const where = place.namespace === undefined ? [] : ['netns', place.namespace];
    const add = ['ip', 'link', 'add', 'name', place.name, ...where, 'type', 'wireguard'];
    try {
      await command(inNamespace(place.socketNamespace, add));
    } catch (cause) {
      throw new WireguardError(place.name, 'start', `the kernel did not make it: ${(cause as Error).message}`, {
        cause,
      });
    }
    return { created: true };
  }

  async configure(place: DevicePlace, config: WireguardConfig): Promise<void> {
    try {
      await command(inNamespace(place.namespace, ['sh', '-c', SYNC, place.name]), configurationText(config));
    } catch (cause) {
      const words = (cause as Error).message;
      const reason = /already in use/i.test(words) ? 'address_in_use' : 'refused';
      throw new WireguardError(place.name, reason, `refused its configuration: ${words}`, { cause });
    }
  }

  /** The kernel's device has no process that could die. */
  async lives(): Promise<boolean> {
    return true;
  }

  async status(place: DevicePlace): Promise<WireguardStatus | undefined> {
    if (!(await this.#exists(place))) return undefined;
    return parseDump(await command(inNamespace(place.namespace, ['wg', 'show', place.name, 'dump'])));
  }

  /** The kernel's device is all there is. */
  async recorded(): Promise<string[]> {
    return [];
  }

  async remove(place: DevicePlace): Promise<void> {
    if (!(await this.#exists(place))) return;
    await command(inNamespace(place.namespace, ['ip', 'link', 'del', 'dev', place.name]));
  }

  async #exists(place: DevicePlace): Promise<boolean> {
    return command(inNamespace(place.namespace, ['ip', 'link', 'show', 'dev', place.name])).then(
      () => true,
      () => false,
    );
  }
}

/** A configuration in the file format of wg(8). Holds the private key. */
function configurationText(config: WireguardConfig): string {
  const lines = ['[Interface]', `PrivateKey = ${config.privateKey}`];
  if (config.listenPort !== 0) lines.push(`ListenPort = ${config.listenPort}`);
  for (const peer of config.peers) {
    lines.push('[Peer]', `PublicKey = ${peer.publicKey}`);
    if (peer.allowedIps.length > 0) lines.push(`AllowedIPs = ${peer.allowedIps.join(', ')}`);
    if (peer.endpoint !== undefined) lines.push(`Endpoint = ${peer.endpoint}`);
    if (peer.keepaliveSeconds) lines.push(`PersistentKeepalive = ${peer.keepaliveSeconds}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Reads `wg show DEVICE dump`: one line for the device, one for each peer, fields parted by tabs. */
export function parseDump(dump: string): WireguardStatus {
  const [device = '', ...peers] = dump.trimEnd().split('\n');
  const [, publicKey = '(none)', listenPort = '0'] = device.split('\t');
  return {
    listenPort: Number(listenPort),
    peers: peers.map(parsePeer),
    ...(publicKey === '(none)' ? {} : { publicKey }),
  };
}

function parsePeer(line: string): WireguardPeerStatus {
  const [publicKey = '', , endpoint = '', allowed = '', handshake, rx, tx, keepalive] = line.split('\t');
  return {
    publicKey,
    allowedIps: allowed === '(none)' ? [] : allowed.split(','),
    lastHandshakeSeconds: Number(handshake),
    rxBytes: Number(rx),
    txBytes: Number(tx),
    ...(endpoint === '(none)' ? {} : { endpoint }),
    ...(keepalive === 'off' ? {} : { keepaliveSeconds: Number(keepalive) }),
  };
}
