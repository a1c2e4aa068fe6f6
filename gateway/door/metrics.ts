/** How many came to the door, and at which check they ended. */
import { Counter, Gauge, Registry } from 'prom-client';

export type Check =
  | 'size'
  | 'shape'
  | 'destination'
  | 'lifetime'
  | 'replay'
  | 'twin'
  | 'rate'
  | 'concurrency'
  | 'signature'
  | 'decrypt';

export class DoorMetrics {
  readonly admitted: Counter;
  readonly ignored: Counter<'reason'>;
  readonly refused: Counter<'check' | 'code'>;
  readonly told: Counter;
  readonly running: Gauge;

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
    this.running = new Gauge({ name: 'gateway_requests_running', help: 'requests being answered', registers });
  }
}
