/** What a WireGuard device is to its users, whichever driver makes it. */

/** One peer. Keys are base64, addresses CIDR. */
export interface WireguardPeer {
  readonly publicKey: string;
  /** `address:port` or `[address]:port`; host names are not resolved here. */
  readonly endpoint?: string;
  readonly allowedIps: readonly string[];
  readonly keepaliveSeconds?: number;
}

export interface WireguardConfig {
  readonly privateKey: string;
  /** UDP port; 0 lets the system choose. */
  readonly listenPort: number;
  readonly peers: readonly WireguardPeer[];
}

export interface WireguardPeerStatus extends WireguardPeer {
  /** Seconds since 1970, 0 where there was no handshake yet. */
  readonly lastHandshakeSeconds: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}

export interface WireguardStatus {
  /** base64, undefined where no private key is set. */
  readonly publicKey?: string;
  readonly listenPort: number;
  readonly peers: readonly WireguardPeerStatus[];
}

/** Where a device lives. */
export interface DevicePlace {
  /** Interface name, at most 15 characters. */
  readonly name: string;
  /** File of the network namespace the interface is in, as `/run/netns/x`; the caller's own where absent. */
  readonly namespace?: string;
  /**
   * File of the network namespace that holds the UDP socket, that is, through
   * which encrypted packets travel; the caller's own where absent.
   */
  readonly socketNamespace?: string;
}

/**
 * Makes, configures and removes devices. Every method may be called again:
 * the device follows the last call. Devices outlive the calling process.
 */
export interface WireguardDriver {
  readonly kind: 'kernel' | 'userspace';
  /** Makes the device where it is missing or dead; leaves a living one alone. Not configured, not up. */
  ensureDevice(place: DevicePlace): Promise<{ readonly created: boolean }>;
  /** Sets key, port and the whole peer list; sessions of peers that stay are kept. */
  configure(place: DevicePlace, config: WireguardConfig): Promise<void>;
  /**
   * Whether the device can still be at work, asked often: reads a file or two,
   * starts nothing. `false` is certain, `true` leaves links and sockets unlooked-at.
   */
  lives(place: DevicePlace): Promise<boolean>;
  /** `undefined` where the device does not exist. */
  status(place: DevicePlace): Promise<WireguardStatus | undefined>;
  /** Names of devices that the driver keeps something of beside the device itself, alive or dead. */
  recorded(): Promise<string[]>;
  /** Removes the device; a missing one is success. */
  remove(place: DevicePlace): Promise<void>;
}

/** A WireGuard device could not be made or did not accept what it was told. */
export class WireguardError extends Error {
  override readonly name = 'WireguardError';
  readonly device: string;
  /** `address_in_use` where another socket holds the UDP port. */
  readonly reason: 'missing' | 'start' | 'refused' | 'address_in_use' | 'deadline';

  constructor(device: string, reason: WireguardError['reason'], message: string, options?: { cause?: unknown }) {
    super(`wireguard device ${device}: ${message}`, options);
    this.device = device;
    this.reason = reason;
  }
}
