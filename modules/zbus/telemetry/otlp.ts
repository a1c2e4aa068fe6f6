/** Spans to a collector that speaks OTLP over HTTP. Loaded only where one is configured. */
import { hostname } from 'node:os';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  type IdGenerator,
  RandomIdGenerator,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { LiveSpan, Tracer } from '../trace.ts';
import { firstSpanOf, traceIdOf } from './identity.ts';
import { type SpanCounts, SpanOutbox } from './outbox.ts';
import { type Environment, numberOf, resourceAttributes, sampledShare } from './settings.ts';

/** As the OpenTelemetry specification has them, but for the deadline: nobody waits half a minute at a stop. */
const QUEUE = 2048;
const BATCH = 512;
const DELAY_MS = 2_000;
const DEADLINE_MS = 5_000;
/** Characters of one attribute and of an error's text. */
const VALUE_CHARACTERS = 1024;

const kinds = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT };

export interface OtlpTracer extends Tracer {
  readonly counts: SpanCounts;
  /** Sends what waits, within the deadline of one batch. */
  flush(): Promise<void>;
}

/** `daemon` names the service where OTEL_SERVICE_NAME does not. */
export function otlpTracer(daemon: string, env: Environment): OtlpTracer {
  const deadlineMs = numberOf(env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT ?? env.OTEL_EXPORTER_OTLP_TIMEOUT, DEADLINE_MS);
  const queue = numberOf(env.OTEL_BSP_MAX_QUEUE_SIZE, QUEUE);
  const outbox = new SpanOutbox(new OTLPTraceExporter({ timeoutMillis: deadlineMs }), {
    queue,
    batch: Math.min(numberOf(env.OTEL_BSP_MAX_EXPORT_BATCH_SIZE, BATCH), queue),
    delayMs: numberOf(env.OTEL_BSP_SCHEDULE_DELAY, DELAY_MS),
    deadlineMs,
  });
  const ids = new GivenIds();
  const provider = new TracerProvider({
    idGenerator: ids,
    sampler: new TraceIdRatioBasedSampler(sampledShare(env)),
    spanLimits: { attributeValueLengthLimit: VALUE_CHARACTERS },
    spanProcessors: [outbox],
    resource: resourceFromAttributes({
      'host.name': hostname(),
      'service.namespace': 'gridnode',
      'service.name': `gridnode-${daemon}`,
      'service.instance.id': `${process.pid}`,
      'process.pid': process.pid,
      ...resourceAttributes(env.OTEL_RESOURCE_ATTRIBUTES),
      ...(env.OTEL_SERVICE_NAME === undefined ? {} : { 'service.name': env.OTEL_SERVICE_NAME }),
    }),
  });
  const tracer = provider.getTracer('gridnode');

  return {
    get counts() {
      return outbox.counts;
    },
    flush: () => outbox.forceFlush(),
    start: ({ name, kind = 'internal', attributes, trace: correlation, parent, isFirst, startedAt }): LiveSpan => {
      const traceId = traceIdOf(correlation);
      const first = firstSpanOf(correlation);
      const above = { traceId, spanId: parent ?? first, traceFlags: TraceFlags.SAMPLED, isRemote: true };
      const context = isFirst === true ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, above);
      const options = {
        kind: kinds[kind],
        attributes: { ...attributes, 'gridnode.trace': correlation },
        ...(startedAt === undefined ? {} : { startTime: startedAt }),
      };
      const begin = () => tracer.startSpan(name, options, context);
      const live = isFirst === true ? ids.giving({ trace: traceId, span: first }, begin) : begin();
      return {
        id: live.spanContext().spanId,
        end: (error) => {
          if (error !== undefined) live.setStatus({ code: SpanStatusCode.ERROR, message: textOf(error) });
          live.end();
        },
      };
    },
  };
}

function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, VALUE_CHARACTERS);
}

/** Random ids, but for the first span of a request. */
class GivenIds implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  #next: { readonly trace: string; readonly span: string } | undefined;

  giving<T>(next: { readonly trace: string; readonly span: string }, begin: () => T): T {
    this.#next = next;
    try {
      return begin();
    } finally {
      this.#next = undefined;
    }
  }

  generateTraceId(): string {
    return this.#next?.trace ?? this.#random.generateTraceId();
  }

  generateSpanId(): string {
    return this.#next?.span ?? this.#random.generateSpanId();
  }
}
