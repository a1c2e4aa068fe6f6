/** WireGuard devices: the kernel's where it has them, wireguard-go's otherwise. */
import { command } from './command.ts';
import type { WireguardDriver } from './device.ts';
import { KernelWireguard } from './kernel.ts';
import { UserspaceWireguard } from './userspace.ts';

export type {
  DevicePlace,
  WireguardConfig,
  WireguardDriver,
  WireguardPeer,
  WireguardPeerStatus,
  WireguardStatus,
} from './device.ts';
export { WireguardError } from './device.ts';
export { decodeKey, generatePrivateKey, isKey, publicKeyOf } from './keys.ts';

/**
 * The driver for this host. The kernel is asked by making a device and
 * removing it at once; `wg` must be there to configure it. `folder` is where
 * the userspace driver keeps its records (0700).
 */
export async function openWireguard(options: { readonly folder: string }): Promise<WireguardDriver> {
  const probe = `wgprobe${process.pid}`.slice(0, 15);
  try {
    await command(['wg', '--version']);
    await command(['ip', 'link', 'add', 'name', probe, 'type', 'wireguard']);
    await command(['ip', 'link', 'del', 'dev', probe]);
    return new KernelWireguard();
  } catch {
    return new UserspaceWireguard(options);
  }
}
