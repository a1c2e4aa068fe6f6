/** `iperf`: throughput between this node and others, over TCP and UDP, one peer after the other. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock } from '../clock.ts';
import type { Peer } from '../peer.ts';
import type { Task } from '../task.ts';
import { type CpuReport, type Direction, type Measured, measure, SERVER_BUSY } from './iperf-program.ts';

/** Peers of one run: each costs about 13 s of traffic. */
export const MAX_PEERS = 12;
/** Seconds that data flow in one direction. */
const SECONDS = 3;
/** A server measures with one client at a time. */
const BUSY_TRIES = 3;
const BUSY_AGAIN_MS = 60_000;

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
