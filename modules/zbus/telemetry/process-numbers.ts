/** CPU, memory, start and event loop of this process, read when somebody asks. */
import { Counter, Gauge, type Registry } from './prometheus.ts';

/** How often the event loop is looked at: rarely enough to cost nothing, often enough to see a stall of its length. */
const LOOK_MS = 500;
/** A stall is told for so long, so that whoever asks each quarter of a minute sees it. */
const REMEMBERED_MS = 30_000;

/** The longest that the event loop was held up in the last half minute, seconds. */
class LoopLag {
  #recent: { readonly at: number; readonly seconds: number }[] = [];
  #expected = performance.now() + LOOK_MS;

  constructor() {
    setInterval(() => this.#look(), LOOK_MS).unref();
  }

  get seconds(): number {
    const now = performance.now();
    // A stall that is still going on is one, too.
    const present = Math.max(0, now - this.#expected) / 1000;
    return Math.max(present, ...this.#recent.map(({ seconds }) => seconds));
  }

  #look(): void {
    const now = performance.now();
    const seconds = Math.max(0, now - this.#expected) / 1000;
    this.#expected = now + LOOK_MS;
    this.#recent = this.#recent.filter(({ at }) => now - at < REMEMBERED_MS);
    this.#recent.push({ at: now, seconds });
  }
}

let lag: LoopLag | undefined;

/** Registers them under the names that dashboards of Node processes read. */
export function registerProcessNumbers(registry: Registry, module: string): void {
  lag ??= new LoopLag();
  const loop = lag;
  const labels = { module };
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      ...{ name, help, labelNames: ['module'], registers: [registry] },
      collect() {
        this.set(labels, read());
      },
    });
  };
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time the process of this part of the node has used, in seconds; a rate of 1 is one full core',
    labelNames: ['module'],
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc(labels, (user + system) / 1e6);
    },
  });
  gauge('process_resident_memory_bytes', 'Memory the process of this part of the node takes of the machine', () =>
    process.memoryUsage.rss(),
  );
  gauge('process_start_time_seconds', 'When the process was started, seconds since 1970', () =>
    Math.round(Date.now() / 1000 - process.uptime()),
  );
  gauge('process_uptime_seconds', 'How long the process has been running; small after a crash', () => process.uptime());
  gauge(
    'nodejs_eventloop_lag_seconds',
    'Longest time in the last half minute that the process could do nothing else because one piece of work held it up',
    () => loop.seconds,
  );
}
