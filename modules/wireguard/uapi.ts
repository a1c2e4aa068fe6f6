/**
 * The cross-platform configuration protocol of WireGuard: `key=value` lines
 * on a unix socket, an empty line ends a message, `errno=` ends an answer.
 */
import { open } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { basename, dirname } from 'node:path';
import type { WireguardConfig, WireguardPeerStatus, WireguardStatus } from './device.ts';
import { WireguardError } from './device.ts';
import { decodeKey, publicKeyOf } from './keys.ts';

const ANSWER_LIMIT_BYTES = 4 * 1024 * 1024;
const EADDRINUSE = 98;

/** The private key stays inside: it is compared, never handed on. */
interface DeviceState {
  readonly privateKey?: string;
  readonly listenPort: number;
  readonly peers: readonly WireguardPeerStatus[];
}

function toHex(key: string): string {
  return decodeKey(key).toString('hex');
}

function toBase64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64');
}

/** The `set` message that leads from a device's present state to a configuration; the same state gives no lines. */
export function encodeSet(config: WireguardConfig, present: DeviceState): string {
  const lines: string[] = [];
  if (present.privateKey !== config.privateKey) lines.push(`private_key=${toHex(config.privateKey)}`);
  // The daemon opens its socket again for every port it is told, even the one it has.
  if (config.listenPort !== 0 && present.listenPort !== config.listenPort) {
    lines.push(`listen_port=${config.listenPort}`);
  }
  const wanted = new Set(config.peers.map((peer) => peer.publicKey));
  for (const peer of present.peers) {
    if (!wanted.has(peer.publicKey)) lines.push(`public_key=${toHex(peer.publicKey)}`, 'remove=true');
  }
  for (const peer of config.peers) {
    lines.push(`public_key=${toHex(peer.publicKey)}`);
    if (peer.endpoint !== undefined) lines.push(`endpoint=${peer.endpoint}`);
    lines.push(`persistent_keepalive_interval=${peer.keepaliveSeconds ?? 0}`, 'replace_allowed_ips=true');
    for (const allowed of peer.allowedIps) lines.push(`allowed_ip=${allowed}`);
  }
  return lines.length === 0 ? '' : `set=1\n${lines.join('\n')}\n\n`;
}

/** Reads the answer of `get=1`. */
export function decodeGet(answer: string): DeviceState {
  let privateKey: string | undefined;
  let listenPort = 0;
  const peers: Array<WireguardPeerStatus & { allowedIps: string[]; endpoint?: string }> = [];
  for (const line of answer.split('\n')) {
    const at = line.indexOf('=');
    if (at < 0) continue;
    const key = line.slice(0, at);
    const value = line.slice(at + 1);
    if (key === 'private_key' && /[1-9a-f]/.test(value)) privateKey = toBase64(value);
    if (key === 'listen_port') listenPort = Number(value);
    if (key === 'public_key') {
      peers.push({ publicKey: toBase64(value), allowedIps: [], lastHandshakeSeconds: 0, rxBytes: 0, txBytes: 0 });
    }
    const peer = peers.at(-1);
    if (peer === undefined) continue;
    if (key === 'allowed_ip') peer.allowedIps.push(value);
    const numbers: Record<string, object> = {
      endpoint: { endpoint: value },
      persistent_keepalive_interval: { keepaliveSeconds: Number(value) },
      last_handshake_time_sec: { lastHandshakeSeconds: Number(value) },
      rx_bytes: { rxBytes: Number(value) },
      tx_bytes: { txBytes: Number(value) },
    };
    Object.assign(peer, numbers[key]);
  }
  return { listenPort, peers, ...(privateKey === undefined ? {} : { privateKey }) };
}

/** What others may see of a device: its public key in place of the private one. */
export function statusOf(state: DeviceState): WireguardStatus {
  const { privateKey, ...rest } = state;
  return privateKey === undefined ? rest : { ...rest, publicKey: publicKeyOf(privateKey) };
}

/** Sends one message and resolves with the answer's lines; a non-zero errno is a `WireguardError`. */
export async function exchange(
  device: string,
  socketPath: string,
  message: string,
  deadlineMs: number,
): Promise<string> {
  // Through the folder's descriptor, because a socket address holds 107 bytes and a state folder may be longer.
  const folder = await open(dirname(socketPath), 'r');
  try {
    return await converse(device, `/proc/self/fd/${folder.fd}/${basename(socketPath)}`, message, deadlineMs);
  } finally {
    await folder.close();
  }
}

function converse(device: string, path: string, message: string, deadlineMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = createConnection(path);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () => fail(new WireguardError(device, 'deadline', `no answer on its socket within ${deadlineMs} ms`)),
      deadlineMs,
    );
    socket.setEncoding('utf8');
    socket.on('error', fail);
    socket.on('close', () => fail(new WireguardError(device, 'refused', 'closed its socket without an answer')));
    socket.on('connect', () => socket.write(message));
    socket.on('data', (chunk: string) => {
      answer += chunk;
      if (answer.length > ANSWER_LIMIT_BYTES) fail(new WireguardError(device, 'refused', 'its answer is too long'));
      const end = /(?:^|\n)errno=(-?\d+)\n\n$/.exec(answer);
      if (end === null) return;
      const errno = Math.abs(Number(end[1]));
      if (errno !== 0) {
        const reason = errno === EADDRINUSE ? 'address_in_use' : 'refused';
        return fail(new WireguardError(device, reason, `refused its configuration with errno ${errno}`));
      }
      clearTimeout(timer);
      resolve(answer);
      socket.destroy();
    });
  });
}
