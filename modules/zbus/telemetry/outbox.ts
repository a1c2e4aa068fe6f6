/** Ended spans on their way to a collector: a bounded queue, a deadline for each batch, a count of what was lost. */
import type { ReadableSpan, SpanExporter, SpanProcessor } from '@opentelemetry/sdk-trace';

export interface OutboxLimits {
  /** Spans that wait at most; what comes beyond them is dropped. */
  readonly queue: number;
  readonly batch: number;
  readonly delayMs: number;
  /** Milliseconds one batch may take. */
  readonly deadlineMs: number;
}

export interface SpanCounts {
  readonly exported: number;
  /** There was no room for them. */
  readonly dropped: number;
  /** The collector did not take them in time. */
  readonly failed: number;
}

const EXPORT_SUCCESS = 0;

export class SpanOutbox implements SpanProcessor {
  readonly #exporter: SpanExporter;
  readonly #limits: OutboxLimits;
  readonly #waiting: ReadableSpan[] = [];
  readonly #counts = { exported: 0, dropped: 0, failed: 0 };
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(exporter: SpanExporter, limits: OutboxLimits) {
    this.#exporter = exporter;
    this.#limits = limits;
  }

  get counts(): SpanCounts {
    return this.#counts;
  }

  onStart(): void {
    // Only what has ended is sent.
  }

  onEnd(span: ReadableSpan): void {
    const { queue, batch, delayMs } = this.#limits;
    if (this.#closed || this.#waiting.length >= queue) {
      this.#counts.dropped += 1;
      return;
    }
    this.#waiting.push(span);
    if (this.#waiting.length >= batch) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), delayMs).unref();
  }

  /** Sends what waits; settles within one deadline whatever the collector does. */
  async forceFlush(): Promise<void> {
    const giveUpAt = performance.now() + this.#limits.deadlineMs;
    while ((this.#waiting.length > 0 || this.#sending !== undefined) && performance.now() < giveUpAt) {
      this.#send();
      await this.#sending;
    }
  }

  async shutdown(): Promise<void> {
    await this.forceFlush();
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#counts.dropped += this.#waiting.splice(0).length;
    await Promise.race([this.#exporter.shutdown().catch(() => undefined), after(500)]);
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#sending !== undefined || this.#waiting.length === 0) return;
    const spans = this.#waiting.splice(0, this.#limits.batch);
    this.#sending = this.#export(spans).then((taken) => {
      this.#counts[taken ? 'exported' : 'failed'] += spans.length;
      this.#sending = undefined;
      if (this.#waiting.length > 0 && !this.#closed) this.#timer ??= setTimeout(() => this.#send(), 0).unref();
    });
  }

  /** Whether the collector took them. Never rejects. */
  #export(spans: ReadableSpan[]): Promise<boolean> {
    const exported = new Promise<boolean>((resolve) => {
      try {
        this.#exporter.export(spans, ({ code }) => resolve(code === EXPORT_SUCCESS));
      } catch {
        resolve(false);
      }
    });
    return Promise.race([exported, after(this.#limits.deadlineMs).then(() => false)]);
  }
}

function after(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}
