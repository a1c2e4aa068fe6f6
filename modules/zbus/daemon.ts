/** Bus modules as processes, or as parts of one: arguments, log, signals, start and stop. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Logger } from 'pino';
import { ZbusClient } from './client.ts';
import { openLog } from './process-log.ts';
import { ZbusServer } from './server.ts';
import { finishStartup } from './startup.ts';
import { DaemonMetrics } from './telemetry/metrics.ts';
import { beginTracing, flushTraces } from './telemetry/tracing.ts';
import { currentTrace } from './trace.ts';

export interface DaemonContext<O extends readonly string[]> {
  readonly server: ZbusServer;
  readonly bus: ZbusClient;
  readonly log: Logger;
  /** The daemon's numbers; who watches the node reads them with those of all others. */
  readonly metrics: DaemonMetrics;
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
  /** Handlers that may run at once, where not the usual number. */
  readonly concurrency?: number;
  /** Registers objects and starts work; what it returns runs at a graceful stop. */
  readonly start: (context: DaemonContext<O>) => Promise<(() => Promise<void>) | undefined>;
}

/** Milliseconds a daemon may take to stop before it gives up and exits anyway. */
const STOP_DEADLINE_MS = 10_000;

/** Where a daemon runs and what its flags say. */
export interface DaemonPlace {
  readonly broker: string;
  readonly state: string;
  readonly logLevel: string;
  readonly options: { readonly [name: string]: string | undefined };
}

export interface RunningDaemon {
  readonly log: Logger;
  /** Settles when it answers, or when it could not start. */
  readonly ready: Promise<void>;
  /** Stops serving, runs what `start` returned and lets go of the bus; also while it still starts. */
  readonly stop: () => Promise<void>;
}

/** A definition that keeps the names of its flags. */
export function defineDaemon<const O extends readonly string[] = []>(
  definition: DaemonDefinition<O>,
): DaemonDefinition<O> {
  return definition;
}

/** Begins to run one bus module in this process, which may hold others. */
export function beginDaemon<O extends readonly string[]>(
  definition: DaemonDefinition<O>,
  { broker, state, logLevel, options: given }: DaemonPlace,
): RunningDaemon {
  const log = openLog({
    name: definition.name,
    level: logLevel,
    // What is logged while a request is worked on names it, wherever in the code that is.
    mixin: () => {
      const trace = currentTrace();
      return trace === undefined ? {} : { trace };
    },
  });
  const root = join(state, definition.name);
  const stopping = new AbortController();
  const { concurrency } = definition;
  const metrics = new DaemonMetrics(definition.module);
  const server = new ZbusServer({
    ...{ module: definition.module, broker, log, meter: metrics, metrics: () => metrics.registry.metrics() },
    ...(concurrency === undefined ? {} : { concurrency }),
  });
  metrics.watchServing(() => server.numbers);
  const bus = new ZbusClient({ broker, log, meter: metrics });
  const options = given as { readonly [K in O[number]]?: string };
  let end: (() => Promise<void>) | undefined;

  const begin = async (): Promise<void> => {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await beginTracing(definition.name);
    end = await definition.start({ server, bus, log, metrics, root, state, options, signal: stopping.signal });
    try {
      await server.start();
    } catch (error) {
      // What was begun is ended, not cut off: a broker that is away is no fault of the work under way.
      log.error({ err: error }, 'the bus could not be served, stopping');
      await stop();
      throw error;
    }
    log.info({ module: definition.module }, 'ready');
  };
  let stopped: Promise<void> | undefined;
  const stopOnce = async (): Promise<void> => {
    stopping.abort();
    await server.stop();
    await end?.();
    await bus.close();
    await flushTraces();
  };
  const stop = (): Promise<void> => {
    stopped ??= stopOnce();
    return stopped;
  };
  return { log, ready: begin(), stop };
}

/** Runs one bus module as this process: arguments, log, signals, start and stop. */
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
  const { state } = values;
  if (state === undefined) throw new Error(`${definition.name}: --state DIR is required`);
  process.title = definition.name;
  const daemon = beginDaemon(definition, {
    state,
    broker: values.broker ?? `unix://${join(state, 'redis.sock')}`,
    logLevel: values['log-level'],
    options: values,
  });
  stopOnSignal(daemon.log, daemon.stop);
  await daemon.ready;
  finishStartup();
}

/** Ends the process after `stop` when it is told to, once and within a deadline. */
export function stopOnSignal(log: Logger, stop: () => Promise<void>): void {
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      log.info({ signal }, 'stopping');
      setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, 'stop failed');
          process.exit(1);
        },
      );
    });
  }
}
