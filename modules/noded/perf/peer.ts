/** Whom a node's throughput is measured against, as its operator writes it. */
import { isIP } from 'node:net';

/** Where the nodes of the grid serve measurements. */
export const IPERF_PORT = 300;

export interface Peer {
  readonly host: string;
  readonly port: number;
}

/** `host`, `host:port` or `[v6]:port`. @throws Error with the text that is none of these */
export function parsePeer(text: string): Peer {
  const [, six, four, port = `${IPERF_PORT}`] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = six ?? four ?? (isIP(text) === 6 ? text : undefined);
  if (host === undefined || host.startsWith('-') || Number(port) < 1 || Number(port) > 65_535) {
    throw new Error(`'${text}' is no peer: host, host:port or [IPv6]:port`);
  }
  return { host, port: Number(port) };
}
