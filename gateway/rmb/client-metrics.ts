/** What a client could not pass on, as numbers for Prometheus. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { RmbClient } from './client.ts';

/** Registers the client's counts; they are read when somebody asks. */
export function registerClientMetrics(client: RmbClient, registry: Registry): void {
  const registers = [registry];
  new Gauge({
    name: 'gateway_relay_connected',
    help: '1 while at least one relay is connected',
    registers,
    collect() {
      this.set(client.connected ? 1 : 0);
    },
  });
  new Gauge({
    name: 'gateway_rmb_serving',
    help: 'requests between the relays and their answers',
    registers,
    collect() {
      this.set(client.serving);
    },
  });
  new Counter({
    name: 'gateway_rmb_duplicates_total',
    help: 'copies of requests that came through another relay before',
    registers,
    collect() {
      this.reset();
      this.inc(client.counts.duplicates);
    },
  });
  new Counter({
    name: 'gateway_rmb_pauses_total',
    help: 'times the relays were not read because too many requests were being served',
    registers,
    collect() {
      this.reset();
      this.inc(client.counts.pauses);
    },
  });
  new Counter({
    name: 'gateway_rmb_dropped_total',
    help: 'frames that went no further',
    labelNames: ['reason'],
    registers,
    collect() {
      const { malformed, unserved, dropped } = client.counts;
      this.reset();
      this.inc({ reason: 'malformed' }, malformed);
      this.inc({ reason: 'unserved' }, unserved);
      this.inc({ reason: 'too_many' }, dropped);
    },
  });
}
