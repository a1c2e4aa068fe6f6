/** Runs one bus module as a process: arguments, log, signals, start and stop. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Logger } from 'pino';
import { ZbusClient } from './client.ts';
import { openLog } from './process-log.ts';
import { ZbusServer } from './server.ts';
import { finishStartup } from './startup.ts';
import { currentTrace } from './trace.ts';

export interface DaemonContext<O extends readonly string[]> {
  readonly server: ZbusServer;
  readonly bus: ZbusClient;
  readonly log: Logger;
  /** The daemon's own folder, mode 0700: `<state>/<name>`. */
  readonly root: string;
  /** The node's state folder. */
  readonly state: string;
  /** Values of the daemon's own flags, undefined where not given. */
  readonly options: { readonly [K in O[number]]?: string };
  /** Aborted when the process is told to stop. */
  readonly signal: AbortSignal;
}

export interface DaemonDefinition<O extends readonly string[]> {
  /** Process name, as `storaged`. */
  readonly name: string;
  /** Bus module name, as `storage`. */
  readonly module: string;
  /** Names of string flags beside `--broker`, `--state` and `--log-level`. */
  readonly options?: O;
  /** Registers objects and starts work; what it returns runs at a graceful stop. */
  readonly start: (context: DaemonContext<O>) => Promise<(() => Promise<void>) | undefined>;
}

/** Milliseconds a daemon may take to stop before it gives up and exits anyway. */
const STOP_DEADLINE_MS = 10_000;

export async function runDaemon<const O extends readonly string[] = []>(
  definition: DaemonDefinition<O>,
): Promise<void> {
  const names = definition.options ?? [];
  const { values } = parseArgs({
    options: {
      broker: { type: 'string' },
      state: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
    },
  });
  const state = values.state;
  if (state === undefined) throw new Error(`${definition.name}: --state DIR is required`);
  const log = openLog({
    name: definition.name,
    level: values['log-level'],
    // What is logged while a request is worked on names it, wherever in the code that is.
    mixin: () => {
      const trace = currentTrace();
      return trace === undefined ? {} : { trace };
    },
  });
  const root = join(state, definition.name);
  await mkdir(root, { recursive: true, mode: 0o700 });
  process.title = definition.name;

  const stopping = new AbortController();
  const broker = values.broker ?? `unix://${join(state, 'redis.sock')}`;
  const server = new ZbusServer({ module: definition.module, broker, log });
  const bus = new ZbusClient({ broker, log });
  const options = values as { readonly [K in O[number]]?: string };
  let stop: (() => Promise<void>) | undefined;

  const shutDown = async (signal: string): Promise<void> => {
    if (stopping.signal.aborted) return;
    log.info({ signal }, 'stopping');
    setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
    stopping.abort();
    await server.stop();
    await stop?.();
    await bus.close();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      shutDown(signal).catch((error: unknown) => {
        log.error({ err: error }, 'stop failed');
        process.exit(1);
      });
    });
  }

  stop = await definition.start({ server, bus, log, root, state, options, signal: stopping.signal });
  await server.start();
  log.info({ module: definition.module }, 'ready');
  finishStartup();
}
