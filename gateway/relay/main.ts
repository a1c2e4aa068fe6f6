/** The relay as a process; its flags are in flags.ts. */

import { chain } from '../../modules/api-gateway/interface.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { openLog } from '../../modules/zbus/process-log.ts';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { busTwins, followTwins } from '../rmb/bus-twins.ts';
import { TwinCache } from '../rmb/twins.ts';
import { readRelayFlags } from './flags.ts';
import { RelayMetrics } from './metrics.ts';
import { Relay } from './relay.ts';

const STOP_DEADLINE_MS = 10_000;

const { broker, logLevel, host, port, ...options } = readRelayFlags(process.argv.slice(2));
const log = openLog({ name: 'relay', level: logLevel });
process.title = 'relay';

const stopping = new AbortController();
const bus = new ZbusClient({ broker, log });
const twins = new TwinCache(busTwins(bus.of(chain)));
const metrics = new RelayMetrics({ processMetrics: true });
const relay = new Relay({ ...options, twins, broker, log, metrics });
metrics.watchCache(twins);

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
  (until) => bus.stream(chain, 'Twins', { signal: until }),
  {
    forget: (id) => {
      metrics.twinUpdates.inc();
      metrics.reconnecting.set(0);
      twins.forget(id);
    },
    forgetAll: () => {
      metrics.reconnecting.set(0);
      twins.forgetAll();
    },
    onInterrupted: (reason) => {
      metrics.reconnects.inc();
      metrics.reconnecting.set(1);
      log.warn({ reason }, 'events of twins lost');
    },
  },
  stopping.signal,
).catch((error: unknown) => log.error({ err: error }, 'events of twins ended'));
const listening = await relay.listen(host, port);
log.info({ host, port: listening, domains: options.domains }, 'ready');
finishStartup();
