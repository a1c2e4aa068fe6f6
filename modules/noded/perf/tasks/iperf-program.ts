/** The program `iperf3`: one measurement as a client, and a server that nodes of the grid measure against. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import type { Logger } from 'pino';
import { z } from 'zod';
import { hostClock } from '../clock.ts';

const PROGRAM = 'iperf3';
const CONNECT_MS = 5_000;
const RUN_DEADLINE_MS = 30_000;
/** What is offered over UDP, where nothing slows a sender down: bits a second. */
const UDP_BITS = 100_000_000;
/**
 * Each of these becomes the next, so that what ends the first ends the program. It ends with the
 * daemon, too, however that ends: a server that stays would hold the port.
 */
const [LAUNCH = '', ...LAUNCHED] = [
  ...(process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'TERM'] : []),
  ...['nice', PROGRAM],
];
const MAX_OUTPUT_BYTES = 1024 * 1024;
/** Status of `nice` where it finds no such program. */
const NOT_INSTALLED = 127;
const SERVER_AGAIN_MS = { least: 1_000, most: 60_000 };
/** A server whose client vanished takes the next one after so many seconds. */
const SERVER_IDLE_SECONDS = 60;

export const SERVER_BUSY = 'the server is busy running a test. try again later';

const speed = z.object({ bits_per_second: z.number() });
const output = z.object({
  error: z.string().optional(),
  end: z
    .object({
      sum_received: speed.optional(),
      /** Of UDP; servers and clients of older versions have no other. */
      sum: speed.optional(),
      cpu_utilization_percent: z
        .object({
          host_total: z.number(),
          host_user: z.number(),
          host_system: z.number(),
          remote_total: z.number(),
          remote_user: z.number(),
          remote_system: z.number(),
        })
        .optional(),
    })
    .optional(),
});

export type CpuReport = NonNullable<NonNullable<z.infer<typeof output>['end']>['cpu_utilization_percent']>;

export interface Measured {
  /** Bits a second that arrived. */
  readonly speed: number;
  readonly cpu: CpuReport;
}

export interface Direction {
  readonly host: string;
  readonly port: number;
  readonly type: 'tcp' | 'udp';
  /** Whether the server sends. */
  readonly reverse: boolean;
  readonly seconds: number;
}

/** One direction, some seconds long. @throws Error with the program's own words, or that it is missing */
export async function measure(
  { host, port, type, reverse, seconds }: Direction,
  signal: AbortSignal,
): Promise<Measured> {
  const args = ['--client', host, '--port', `${port}`, '--time', `${seconds}`, '--json'];
  args.push('--connect-timeout', `${CONNECT_MS}`);
  if (type === 'udp') args.push('--udp', '--bitrate', `${UDP_BITS}`);
  if (reverse) args.push('--reverse');
  const { error, end } = output.parse(await answer(args, signal));
  if (error !== undefined) throw new Error(error);
  const speedFound = end?.sum_received ?? end?.sum;
  if (speedFound === undefined || end?.cpu_utilization_percent === undefined) {
    throw new Error(`${PROGRAM} said nothing of what it measured`);
  }
  return { speed: speedFound.bits_per_second, cpu: end.cpu_utilization_percent };
}

/** What the program printed: on failure, too, it says there why. */
function answer(args: readonly string[], signal: AbortSignal): Promise<unknown> {
  const bounds = { timeout: RUN_DEADLINE_MS, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES, signal } as const;
  return new Promise((resolve, reject) => {
    execFile(LAUNCH, [...LAUNCHED, ...args], bounds, (error, stdout, stderr) => {
      if (signal.aborted) reject(signal.reason);
      else if (error?.code === NOT_INSTALLED) reject(missing());
      else if (error?.killed === true) reject(new Error(`no measurement within ${RUN_DEADLINE_MS} ms`));
      else if (isJson(stdout)) resolve(JSON.parse(stdout));
      else
        reject(new Error(`${PROGRAM} failed: ${stderr.trim().slice(-500) || (error?.message ?? 'it said nothing')}`));
    });
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function missing(): Error {
  return new Error(`${PROGRAM} is not installed on this node; on Debian: apt-get install ${PROGRAM}`);
}

export interface ServerOptions {
  readonly address: string;
  readonly port: number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly signal: AbortSignal;
}

/** Serves other nodes, one measurement at a time, until `signal`. Begins again when the program ends. */
export async function serve({ address, port, log, signal }: ServerOptions): Promise<void> {
  const args = ['--server', '--bind', address, '--port', `${port}`, '--idle-timeout', `${SERVER_IDLE_SECONDS}`];
  let againMs = SERVER_AGAIN_MS.least;
  while (!signal.aborted) {
    const startedAt = performance.now();
    const ended = await served(args, signal);
    if (signal.aborted) return;
    if (performance.now() - startedAt > SERVER_AGAIN_MS.most) againMs = SERVER_AGAIN_MS.least;
    log.warn({ address, port, againMs, reason: ended }, 'no measurement can be made against this node');
    await hostClock.sleep(againMs, signal).catch(() => undefined);
    againMs = Math.min(againMs * 2, SERVER_AGAIN_MS.most);
  }
}

/** Why the server ended. */
function served(args: readonly string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(LAUNCH, [...LAUNCHED, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    let words = '';
    const stop = (): void => {
      child.kill('SIGTERM');
    };
    signal.addEventListener('abort', stop, { once: true });
    child.stderr?.on('data', (data: Buffer) => {
      words = `${words}${data.toString()}`.slice(-500);
    });
    const settle = (reason: string): void => {
      signal.removeEventListener('abort', stop);
      resolve(reason);
    };
    child.once('error', (error) => settle(error.message));
    child.once('close', (code) =>
      settle(code === NOT_INSTALLED ? missing().message : `ended with ${code}: ${words.trim()}`),
    );
  });
}
