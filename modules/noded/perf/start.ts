/** The node's measurements, put together: which tasks there are, what they ask, where results are kept. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { planner, statistics } from '../../../provision/interface.ts';
import { storage } from '../../storaged/interface.ts';
import type { ZbusClient } from '../../zbus/client.ts';
import type { ZbusServer } from '../../zbus/server.ts';
import { performanceMonitor, performanceRuns } from '../interface.ts';
import { ChainView } from './chain-view.ts';
import { hostClock } from './clock.ts';
import { fileMarker, removeLeftovers } from './leftovers.ts';
import { PerformanceMonitor } from './monitor.ts';
import { parsePeer } from './peer.ts';
import { Results } from './results.ts';
import { monitorService, runsService } from './service.ts';
import { cpuBenchmark } from './tasks/cpu-benchmark.ts';
import { cacheCheck, clockCheck, healthCheck, networkCheck } from './tasks/health-check.ts';
import { iperf } from './tasks/iperf.ts';
import { serve } from './tasks/iperf-program.ts';
import { provisionTrial } from './tasks/provision-trial.ts';
import { publicIpValidation } from './tasks/public-ip.ts';
import { trials } from './trials.ts';

const ASK_DEADLINE_MS = 10_000;

/** Flags of the daemon, all optional; lists are separated by commas. */
export const performanceOptions = [
  'chain',
  'relay',
  'trial-image',
  'iperf-peer',
  'iperf-listen',
  /** `true` where drivers only keep books: there is no cache of a host's to look at. */
  'simulated',
] as const;

export interface PerformanceOptions {
  readonly server: ZbusServer;
  readonly bus: ZbusClient;
  readonly log: Logger;
  /** The daemon's own folder. */
  readonly root: string;
  readonly options: { readonly [K in (typeof performanceOptions)[number]]?: string };
}

/** Serves the measurements and keeps to their schedules; what it returns ends that. Throws for flags that cannot be read. */
export async function startPerformance(given: PerformanceOptions): Promise<() => Promise<void>> {
  const { server, bus, log, root, options } = given;
  const simulated = options.simulated === 'true';
  const words = (text = ''): string[] => text.split(',').filter((word) => word !== '');
  const peers = words(options['iperf-peer']).map(parsePeer);
  const listen = options['iperf-listen'] === undefined ? undefined : parsePeer(options['iperf-listen']);
  const [stats, plans, volumes] = [bus.of(statistics), bus.of(planner), bus.of(storage)];
  const view = new ChainView(bus);
  const asking = (signal: AbortSignal) => ({ deadlineMs: ASK_DEADLINE_MS, signal });

  const trial = trials({ bus, image: options['trial-image'] });
  const marker = fileMarker(join(root, 'trial'));
  const stopping = new AbortController();
  const sweeping = removeLeftovers({ ...trial, marker, clock: hostClock, log, signal: stopping.signal });
  const trialTask = provisionTrial({ ...trial, marker });
  const monitor = new PerformanceMonitor({
    tasks: [
      cpuBenchmark({
        workloads: (signal) => stats.Workloads({}, asking(signal)),
        isBusy: async (signal) => {
          const { Pending } = await plans.Capacity({}, asking(signal));
          return Object.values(Pending).some((amount) => amount > 0);
        },
        clock: hostClock,
      }),
      healthCheck(
        {
          cache: cacheCheck(async (signal) => (simulated ? root : (await volumes.Cache({}, asking(signal))).Path)),
          network: networkCheck({ substrate: words(options.chain), relay: words(options.relay) }),
          clock: clockCheck((signal) => view.time(signal), hostClock),
        },
        hostClock,
      ),
      iperf({ peers: async (signal) => (peers.length > 0 ? peers : await view.peers(signal)), clock: hostClock }),
      publicIpValidation({
        farm: (signal) => view.farm(signal),
        isUp: (node, signal) => view.isUp(node, signal),
      }),
      {
        ...trialTask,
        // Else the parts of the new trial would be taken for the old one's.
        run: async (signal) => {
          await sweeping;
          return await trialTask.run(signal);
        },
      },
    ],
    results: await Results.open(join(root, 'performance.json'), log),
    clock: hostClock,
    log,
  });
  server.serve(performanceMonitor, monitorService(monitor));
  server.serve(performanceRuns, runsService(monitor));

  const serving =
    listen === undefined
      ? Promise.resolve()
      : serve({ address: listen.host, port: listen.port, log, signal: stopping.signal });
  const keeping = monitor.start();
  return async () => {
    stopping.abort();
    await monitor.stop();
    await Promise.all([serving, sweeping, keeping]);
  };
}
