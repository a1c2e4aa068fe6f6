/** What goes through the local interface, in numbers. */
import { Counter, type Registry } from 'prom-client';

export class LocalMetrics {
  /** Requests of local clients. */
  readonly requests: Counter<'outcome'>;
  /** Destinations that a request did not leave for. */
  readonly sendFailures: Counter<'code'>;
  /** Answers of other twins to local clients. */
  readonly answers: Counter<'outcome'>;
  /** Requests of other twins for local services. */
  readonly served: Counter<'outcome'>;
  /** Answers of local services. */
  readonly replies: Counter<'outcome'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.requests = new Counter({
      name: 'local_client_requests_total',
      help: 'requests of local clients',
      labelNames: ['outcome'],
      registers,
    });
    this.sendFailures = new Counter({
      name: 'local_client_send_failures_total',
      help: 'destinations that a request of a local client did not leave for, by error code',
      labelNames: ['code'],
      registers,
    });
    this.answers = new Counter({
      name: 'local_client_answers_total',
      help: 'answers of other twins to local clients',
      labelNames: ['outcome'],
      registers,
    });
    this.served = new Counter({
      name: 'local_service_requests_total',
      help: 'requests of other twins for local services',
      labelNames: ['outcome'],
      registers,
    });
    this.replies = new Counter({
      name: 'local_service_answers_total',
      help: 'answers of local services',
      labelNames: ['outcome'],
      registers,
    });
  }
}
