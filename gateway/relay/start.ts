/** A running relay: twins from the chain over the bus, followed as they change. */
import type { Logger } from 'pino';
import { chain } from '../../modules/api-gateway/interface.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { busTwins, followTwins } from '../rmb/bus-twins.ts';
import { TwinCache } from '../rmb/twins.ts';
import type { RelayFlags } from './flags.ts';
import { RelayMetrics } from './metrics.ts';
import { Relay } from './relay.ts';

export interface RunningRelay {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

export async function startRelay(flags: Omit<RelayFlags, 'logLevel'>, log: Logger): Promise<RunningRelay> {
  const { broker, host, port, ...options } = flags;
  const stopping = new AbortController();
  const bus = new ZbusClient({ broker, log });
  const twins = new TwinCache(busTwins(bus.of(chain)));
  const metrics = new RelayMetrics({ processMetrics: true });
  const relay = new Relay({ ...options, twins, broker, log, metrics });
  metrics.watchCache(twins);
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
  return {
    port: listening,
    stop: async () => {
      stopping.abort();
      await relay.close();
      await bus.close();
    },
  };
}
