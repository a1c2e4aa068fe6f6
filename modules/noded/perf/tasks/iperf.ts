/** `iperf`: throughput between this node and others, over TCP and UDP, one peer after the other. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock } from '../clock.ts';
import type { Task } from '../task.ts';
import { type CpuReport, type Direction, type Measured, measure, SERVER_BUSY } from './iperf-program.ts';

/** Where the nodes of the grid serve measurements. */
export const IPERF_PORT = 300;
/** Peers of one run: each costs about 13 s of traffic. */
export const MAX_PEERS = 12;
/** Seconds that data flow in one direction. */
const SECONDS = 3;
/** A server measures with one client at a time. */
const BUSY_TRIES = 3;
const BUSY_AGAIN_MS = 60_000;

export interface Peer {
  readonly host: string;
  readonly port: number;
}

export interface IperfOptions {
  /** Whom to measure against. Throws where that cannot be found out. */
  readonly peers: (signal: AbortSignal) => Promise<readonly Peer[]>;
  readonly clock: Clock;
  /** That data flow in one direction. */
  readonly seconds?: number;
}

const NO_CPU: CpuReport = {
  host_total: 0,
  host_user: 0,
  host_system: 0,
  remote_total: 0,
  remote_user: 0,
  remote_system: 0,
};

export function iperf({ peers, clock, seconds = SECONDS }: IperfOptions): Task {
  return {
    name: 'iperf',
    description: 'Throughput between this node and others over TCP and UDP',
    schedule: '0 0 */6 * * *',
    jitterSeconds: 1200,
    firstAfterSeconds: 300,
    deadlineMs: 60 * 60_000,
    isHeavy: true,
    run: async (signal) => {
      const found = [];
      for (const peer of (await peers(signal)).slice(0, MAX_PEERS)) {
        for (const type of ['tcp', 'udp'] as const)
          found.push(await entryOf({ ...peer, type, seconds }, clock, signal));
      }
      return found;
    },
  };
}

async function entryOf(peer: Omit<Direction, 'reverse'>, clock: Clock, signal: AbortSignal) {
  const entry = {
    upload_speed: 0,
    download_speed: 0,
    server_host: peer.host,
    server_ip: '',
    server_port: peer.port,
    test_type: peer.type,
    error: '',
    cpu_report: NO_CPU,
  };
  try {
    const address = isIP(peer.host) === 0 ? (await lookup(peer.host)).address : peer.host;
    entry.server_ip = address;
    const both = { ...peer, host: address };
    entry.upload_speed = (await patient({ ...both, reverse: false }, clock, signal)).speed;
    const { speed, cpu } = await patient({ ...both, reverse: true }, clock, signal);
    return { ...entry, download_speed: speed, cpu_report: { ...cpu } };
  } catch (error) {
    signal.throwIfAborted();
    return { ...entry, error: error instanceof Error ? error.message : String(error) };
  }
}

/** Waits for a server that measures with another. */
async function patient(direction: Direction, clock: Clock, signal: AbortSignal): Promise<Measured> {
  for (let tried = 1; ; tried++) {
    try {
      return await measure(direction, signal);
    } catch (error) {
      if (!(error as Error).message?.includes(SERVER_BUSY) || tried === BUSY_TRIES) throw error;
      await clock.sleep(BUSY_AGAIN_MS, signal);
    }
  }
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
