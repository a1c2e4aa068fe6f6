/** The relay's numbers, under the names existing dashboards read. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';

export type Eviction = 'closed' | 'back_pressure_timeout' | 'cancelled' | 'silent';

export interface CacheNumbers {
  readonly hits: number;
  readonly misses: number;
  readonly flushes: number;
  readonly entries: number;
}

const MAX_RELAY_LABELS = 200;

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
  readonly requeued = this.#counter(
    'relay_message_requeued_total',
    'messages put into a queue because nothing proved that they arrived',
  );
  readonly lost = this.#counter(
    'relay_message_lost_total',
    'messages that nothing proved to have arrived and no queue took',
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
  readonly federated = this.#perRelay('federation_message_success', 'messages that another relay accepted');
  readonly notFederated = this.#perRelay('federation_message_error', 'attempts that another relay refused or failed');
  readonly federationWaiting = new Gauge({
    name: 'federation_messages_waiting',
    help: 'messages on their way to other relays',
    registers: [this.registry],
  });
  readonly posts = new Counter({
    name: 'federation_posts_total',
    help: 'messages from other relays, by the HTTP status of the answer',
    labelNames: ['status'],
    registers: [this.registry],
  });
  /** Whether what the chain module tells of twins is being listened to. */
  readonly reconnecting = new Gauge({
    name: 'events_listener_reconnecting',
    help: '1 while events of twins are not heard',
    registers: [this.registry],
  });
  readonly reconnects = this.#counter('events_listener_reconnect_cycles_total', 'times that events of twins were lost');
  readonly twinUpdates = this.#counter('events_listener_twin_updated_total', 'events of twins heard');
  readonly handshakes = new Counter({
    name: 'relay_handshakes_total',
    help: 'connection attempts by HTTP status',
    labelNames: ['status'],
    registers: [this.registry],
  });

  readonly #relays = new Set<string>();

  /** `processMetrics`: also numbers of the whole process; once a process. */
  constructor(options: { readonly processMetrics?: boolean } = {}) {
    if (options.processMetrics === true) collectDefaultMetrics({ register: this.registry });
  }

  /** Hosts come from chain records, which strangers write: no more of them get a line of their own. */
  relayLabel(host: string): { relay: string } {
    if (this.#relays.size < MAX_RELAY_LABELS) this.#relays.add(host);
    return { relay: this.#relays.has(host) ? host : 'other' };
  }

  /** Numbers of the twin cache, read when somebody asks. */
  watchCache(cache: { readonly numbers: CacheNumbers }): void {
    const { registry } = this;
    const total = (name: string, help: string, read: () => number): void => {
      new Counter({
        name,
        help,
        registers: [registry],
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    };
    total('rmb_cache_hits_total', 'twins that were known', () => cache.numbers.hits);
    total('rmb_cache_misses_total', 'twins that the chain was asked for', () => cache.numbers.misses);
    total('rmb_cache_flushes_total', 'times that all twins were forgotten', () => cache.numbers.flushes);
    new Gauge({
      name: 'rmb_cache_entries',
      help: 'twins that are known',
      registers: [registry],
      collect() {
        this.set(cache.numbers.entries);
      },
    });
  }

  #perRelay(name: string, help: string): Counter<'relay'> {
    return new Counter({ name, help, labelNames: ['relay'], registers: [this.registry] });
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.registry] });
  }
}
