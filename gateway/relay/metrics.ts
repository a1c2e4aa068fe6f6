/** The relay's numbers, under the names existing dashboards read. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export type Eviction = 'closed' | 'back_pressure_timeout' | 'cancelled' | 'silent';

export class RelayMetrics {
  readonly registry = new Registry();
  readonly connections = new Gauge({
    name: 'relay_worker_connections',
    help: 'connected sessions',
    labelNames: ['worker'],
    registers: [this.registry],
  });
  readonly received = this.#counter('relay_message_rx', 'messages received from sessions');
  readonly sent = this.#counter('relay_message_tx', 'messages sent to sessions');
  readonly receivedBytes = this.#counter('relay_message_rx_bytes', 'bytes received from sessions');
  readonly sentBytes = this.#counter('relay_message_tx_bytes', 'bytes sent to sessions');
  readonly queued = this.#counter('relay_message_queued_total', 'messages put into a queue');
  readonly expired = this.#counter(
    'relay_message_expired_total',
    'queued messages dropped because their life was over',
  );
  readonly evictions = new Counter({
    name: 'relay_session_evictions_total',
    help: 'ended sessions',
    labelNames: ['reason'],
    registers: [this.registry],
  });
  readonly refused = new Counter({
    name: 'relay_message_refused_total',
    help: 'messages not routed, by the text of the error',
    labelNames: ['reason'],
    registers: [this.registry],
  });
  readonly handshakes = new Counter({
    name: 'relay_handshakes_total',
    help: 'connection attempts by HTTP status',
    labelNames: ['status'],
    registers: [this.registry],
  });

  /** `processMetrics`: also numbers of the whole process; once a process. */
  constructor(options: { readonly processMetrics?: boolean } = {}) {
    if (options.processMetrics === true) collectDefaultMetrics({ register: this.registry });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.registry] });
  }
}
