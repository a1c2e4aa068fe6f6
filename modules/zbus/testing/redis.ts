/** A private redis-server for tests: unix socket in a folder of its own, no port, nothing on disk. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_DEADLINE_MS = 10_000;
const STOP_DEADLINE_MS = 5_000;

export interface TestRedis {
  /** URL for `--broker` and for `ZbusClient` and `ZbusServer`. */
  readonly broker: string;
  readonly socket: string;
  /** Kills the server and starts an empty one on the same socket, `downMs` later; one after the other. */
  restart(downMs?: number): Promise<void>;
  /** Ends the server and removes its folder. May be called twice. */
  stop(): Promise<void>;
}

/** `settings` are added to the command line, as `['--maxmemory', '1mb']`. */
export async function startRedis(settings: readonly string[] = []): Promise<TestRedis> {
  const folder = await mkdtemp(join(tmpdir(), 'zbus-'));
  const socket = join(folder, 'r.sock');
  let server = await launch(folder, socket, settings).catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true });
    throw error;
  });
  let last: Promise<unknown> = Promise.resolve();
  const restart = async (downMs: number): Promise<void> => {
    await end(server, 'SIGKILL');
    await rm(socket, { force: true });
    await sleep(downMs);
    server = await launch(folder, socket, settings);
  };
  return {
    broker: `unix://${socket}`,
    socket,
    restart: (downMs = 0) => {
      // Two side by side would leave two servers: who is connected to the first one never hears of the second.
      const restarted = last.then(() => restart(downMs));
      last = restarted.catch(() => undefined);
      return restarted;
    },
    stop: async () => {
      await last;
      await end(server, 'SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function launch(folder: string, socket: string, settings: readonly string[]): Promise<ChildProcess> {
  const server = spawn(
    'redis-server',
    [
      '--port',
      '0',
      '--unixsocket',
      socket,
      '--unixsocketperm',
      '700',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      folder,
      ...settings,
    ],
    { stdio: 'ignore' },
  );
  let failure: Error | undefined;
  server.on('error', (error) => {
    failure = error;
  });
  const giveUpAt = Date.now() + START_DEADLINE_MS;
  while (Date.now() < giveUpAt) {
    if (failure !== undefined) throw failure;
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode} before it was ready`);
    if (await answers(socket)) return server;
    await sleep(10);
  }
  await end(server, 'SIGKILL');
  throw new Error(`redis-server was not ready within ${START_DEADLINE_MS} ms`);
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket);
    const settle = (ready: boolean): void => {
      connection.destroy();
      resolve(ready);
    };
    connection.setTimeout(500, () => settle(false));
    connection.on('error', () => settle(false));
    connection.on('connect', () => connection.write('PING\r\n'));
    connection.on('data', (data) => settle(data.toString().startsWith('+PONG')));
  });
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  server.kill(signal);
  const force = setTimeout(() => server.kill('SIGKILL'), STOP_DEADLINE_MS);
  await ended;
  clearTimeout(force);
}
