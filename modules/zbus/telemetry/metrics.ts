/** The numbers of one daemon. What all daemons have alike is here; each adds its own to the registry. */

import { span } from '../trace.ts';
import { measured } from './measured.ts';
import type { BusMeter, CallOutcome } from './meter.ts';
import { registerProcessNumbers } from './process-numbers.ts';
import { Counter, Gauge, Histogram, Registry } from './prometheus.ts';
import { spanCounts } from './tracing.ts';

/** How busy the serving side is, now. */
export interface ServingNumbers {
  /** Calls taken off the bus that have not begun. */
  readonly waiting: number;
  readonly running: number;
}

/** From a millisecond to a minute, the longest most callers wait. */
const CALL_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];
const DRIVER_BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300];

export class DaemonMetrics implements BusMeter {
  readonly registry = new Registry();
  /** The bus module's name. */
  readonly module: string;
  readonly #asked: Histogram<'module' | 'method' | 'outcome'>;
  readonly #answered: Histogram<'module' | 'method' | 'outcome'>;
  readonly #driver: Histogram<'module' | 'driver' | 'operation' | 'outcome'>;

  constructor(module: string) {
    this.module = module;
    const registers = [this.registry];
    registerProcessNumbers(this.registry, module);
    this.#asked = new Histogram({
      name: 'zbus_client_call_seconds',
      help: 'How long this part of the node waited for answers of others, by what it asked and how that ended',
      labelNames: ['module', 'method', 'outcome'],
      buckets: CALL_BUCKETS,
      registers,
    });
    this.#answered = new Histogram({
      name: 'zbus_server_call_seconds',
      help: 'How long this part of the node worked on what others asked of it, by method and how that ended',
      labelNames: ['module', 'method', 'outcome'],
      buckets: CALL_BUCKETS,
      registers,
    });
    this.#driver = new Histogram({
      name: 'gridnode_driver_call_seconds',
      help: 'How long operations on the host itself took: disks, networks, images, machines',
      labelNames: ['module', 'driver', 'operation', 'outcome'],
      buckets: DRIVER_BUCKETS,
      registers,
    });
    this.#registerSpans();
  }

  asked(method: string, outcome: CallOutcome, seconds: number): void {
    this.#asked.observe({ module: this.module, method, outcome }, seconds);
  }

  answered(method: string, outcome: CallOutcome, seconds: number): void {
    this.#answered.observe({ module: this.module, method, outcome }, seconds);
  }

  /** What touches the host, measured by operation and seen in traces. `skip`: reads of its memory. */
  driver<T extends object>(name: string, target: T, skip: readonly string[] = []): T {
    const { module } = this;
    const ended = (operation: string, outcome: string, began: number): void =>
      this.#driver.observe({ module, driver: name, operation, outcome }, (performance.now() - began) / 1000);
    return measured(
      target,
      (operation, run) => {
        const began = performance.now();
        try {
          const result = span(`${name}.${operation}`, { 'gridnode.module': module }, run);
          if (!(result instanceof Promise)) ended(operation, 'ok', began);
          else
            result.then(
              () => ended(operation, 'ok', began),
              () => ended(operation, 'error', began),
            );
          return result;
        } catch (error) {
          ended(operation, 'error', began);
          throw error;
        }
      },
      (name_) => !skip.includes(name_),
    );
  }

  /** Numbers of the serving side, read when somebody asks. */
  watchServing(read: () => ServingNumbers): void {
    const { module } = this;
    const registers = [this.registry];
    const gauge = (name: string, help: string, value: () => number): void => {
      new Gauge({
        ...{ name, help, labelNames: ['module'], registers },
        collect() {
          this.set({ module }, value());
        },
      });
    };
    gauge(
      'zbus_server_calls_waiting',
      'Calls of others that wait for their turn in this part of the node',
      () => read().waiting,
    );
    gauge('zbus_server_calls_running', 'Calls of others that this part of the node works on', () => read().running);
  }

  #registerSpans(): void {
    const { module } = this;
    new Counter({
      name: 'gridnode_trace_spans_total',
      help: 'Parts of traces sent to the collector, or lost: dropped for want of room, or not taken in time (failed)',
      labelNames: ['module', 'outcome'],
      registers: [this.registry],
      collect() {
        const counts = spanCounts();
        this.reset();
        if (counts === undefined) return;
        for (const outcome of ['exported', 'dropped', 'failed'] as const)
          this.inc({ module, outcome }, counts[outcome]);
      },
    });
  }
}
