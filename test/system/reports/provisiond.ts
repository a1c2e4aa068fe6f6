/**
 * provisiond as a process that samples and reports by the moment, and kills itself, where `DIE_AT` says
 * `<write>:<before|after>`, at that write to its file of reports.
 */
import { runDaemon } from '../../../modules/zbus/daemon.ts';
import { startProvisiond } from '../../../provision/provisiond.ts';
import { CAPACITY_LIMITS } from '../../../provision/reports/capacity.ts';
import { CapacityTable } from '../../../provision/reports/capacity-table.ts';
import { TRAFFIC_LIMITS } from '../../../provision/reports/traffic.ts';
import { TrafficTable } from '../../../provision/reports/traffic-table.ts';

const GIB = 1024 ** 3;

const [write = '', when] = (process.env.DIE_AT ?? '').split(':');
for (const { prototype } of [TrafficTable, CapacityTable]) {
  const found: unknown = Reflect.get(prototype, write);
  if (typeof found !== 'function') continue;
  Reflect.set(prototype, write, function (this: unknown, ...args: unknown[]): unknown {
    if (when === 'before') process.kill(process.pid, 'SIGKILL');
    const result: unknown = Reflect.apply(found, this, args);
    if (when === 'after') process.kill(process.pid, 'SIGKILL');
    return result;
  });
}

await runDaemon({
  name: 'provisiond',
  module: 'provision',
  start: async ({ server, bus, log, root }) => {
    const daemon = startProvisiond({
      server,
      bus,
      log,
      root,
      guest: { kernel: '', initrd: '' },
      cpuOvercommit: 4,
      contractWaitMs: 1_000,
      host: { cpus: 4, memoryBytes: 16 * GIB },
      capacityLimits: { ...CAPACITY_LIMITS, gatherMs: 50, retryMs: [100, 200], confirmMs: 300, finalWithinMs: 2_000 },
      trafficLimits: {
        ...TRAFFIC_LIMITS,
        ...{ sampleMs: 100, windowSeconds: 1, deadlineMs: 5_000, retryMs: [100, 300], lookMs: 200 },
      },
    });
    return () => daemon.stop();
  },
});
