/** How many came to the door, at which check they ended, and how long it took. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** In the order of the checks; `caller`, `command`, `places` and `schema` are the command table's. */
export const checks = [
  'shape',
  'destination',
  'signature',
  'replay',
  'size',
  'lifetime',
  'clock',
  'twin',
  'rate',
  'concurrency',
  'overload',
  'policy',
  'decrypt',
  'caller',
  'command',
  'places',
  'schema',
] as const;
export type Check = (typeof checks)[number];

export class DoorMetrics {
  readonly admitted: Counter;
  readonly ignored: Counter<'reason'>;
  readonly refused: Counter<'check' | 'code'>;
  readonly told: Counter;
  readonly unsent: Counter;
  readonly seconds: Histogram;
  readonly running: Gauge;
  readonly overloaded: Gauge;

  constructor(registry: Registry = new Registry()) {
    const registers = [registry];
    this.admitted = new Counter({ name: 'gateway_door_admitted_total', help: 'requests let in', registers });
    this.ignored = new Counter({
      name: 'gateway_door_ignored_total',
      help: 'envelopes dropped without an answer because nodes never answer their like',
      labelNames: ['reason'],
      registers,
    });
    this.refused = new Counter({
      name: 'gateway_door_refused_total',
      help: 'requests refused, by check and error code',
      labelNames: ['check', 'code'],
      registers,
    });
    this.told = new Counter({
      name: 'gateway_door_refusals_answered_total',
      help: 'refusals that were answered because the sender proved who it is',
      registers,
    });
    this.unsent = new Counter({
      name: 'gateway_answers_unsent_total',
      help: 'answers that no relay took in time',
      registers,
    });
    this.seconds = new Histogram({
      name: 'gateway_door_seconds',
      help: 'time that requests took to pass the door',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    });
    this.running = new Gauge({ name: 'gateway_requests_running', help: 'requests being answered', registers });
    this.overloaded = new Gauge({
      name: 'gateway_door_overloaded',
      help: '1 while requests are turned away because others wait too long',
      registers,
    });
  }
}
