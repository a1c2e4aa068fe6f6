/** How reports of uptime fare, as numbers. */
import { Gauge, type Registry } from 'prom-client';
import type { UptimeReporter } from './uptime.ts';

export function registerUptimeNumbers(registry: Registry, reporter: UptimeReporter): void {
  new Gauge({
    name: 'gridnode_uptime_reports',
    help: 'Reports to the chain since when the node runs, since the start of noded: told, failed, failed since the last success',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      const { told, failed, failedInARow } = reporter.numbers;
      this.set({ outcome: 'told' }, told);
      this.set({ outcome: 'failed' }, failed);
      this.set({ outcome: 'failed_in_a_row' }, failedInARow);
    },
  });
  new Gauge({
    name: 'gridnode_uptime_report_timestamp_seconds',
    help: 'When the chain was told last since when the node runs, seconds since 1970; 0 before the first',
    registers: [registry],
    collect() {
      this.set(Math.floor(reporter.numbers.lastSuccessAt / 1000));
    },
  });
}
