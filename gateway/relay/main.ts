/** The relay as a process: `--listen HOST:PORT --domain NAME [--domain NAME]` and the common flags. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { chain } from '../../modules/api-gateway/interface.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { busTwins, followTwins } from '../rmb/bus-twins.ts';
import { TwinCache } from '../rmb/twins.ts';
import { RelayMetrics } from './metrics.ts';
import { Relay } from './relay.ts';

const STOP_DEADLINE_MS = 10_000;

const { values } = parseArgs({
  options: {
    broker: { type: 'string' },
    state: { type: 'string' },
    'log-level': { type: 'string', default: 'info' },
    listen: { type: 'string', default: '127.0.0.1:8380' },
    domain: { type: 'string', multiple: true, default: ['localhost'] },
  },
});
const log = pino({ name: 'relay', level: values['log-level'] });
process.title = 'relay';
const broker = values.broker ?? (values.state === undefined ? undefined : `unix://${join(values.state, 'redis.sock')}`);
if (broker === undefined) throw new Error('relay: --broker URL or --state DIR is required');
const [, host, port] = /^\[?([^\]]+)\]?:(\d{1,5})$/.exec(values.listen) ?? [];
if (host === undefined || Number(port) > 65_535) throw new Error(`relay: --listen ${values.listen} is not HOST:PORT`);

const stopping = new AbortController();
const bus = new ZbusClient({ broker, log });
const twins = new TwinCache(busTwins(bus.of(chain)));
const metrics = new RelayMetrics({ processMetrics: true });
const relay = new Relay({ domains: values.domain, twins, broker, log, metrics });

const stop = async (signal: string): Promise<void> => {
  if (stopping.signal.aborted) return;
  log.info({ signal }, 'stopping');
  setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
  stopping.abort();
  await relay.close();
  await bus.close();
  process.exit(0);
};
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    stop(signal).catch((error: unknown) => {
      log.error({ err: error }, 'stop failed');
      process.exit(1);
    });
  });
}

followTwins(
  bus,
  {
    forget: (id) => twins.forget(id),
    forgetAll: () => twins.forgetAll(),
    onInterrupted: (reason) => log.warn({ reason }, 'events of twins lost'),
  },
  stopping.signal,
).catch((error: unknown) => log.error({ err: error }, 'events of twins ended'));
const listening = await relay.listen(host, Number(port));
log.info({ host, port: listening, domains: values.domain }, 'ready');
finishStartup();
