/** The correlation id that follows one request through every process it touches, and the spans of its trace. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';

export type SpanKind = 'internal' | 'server' | 'client';
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** A part of a request's work that was begun. */
export interface LiveSpan {
  /** 16 hex digits. */
  readonly id: string;
  /** Ends it, as failed when there is an error. */
  end(error?: unknown): void;
}

export interface SpanStart {
  readonly name: string;
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** Correlation id of the request. */
  readonly trace: string;
  /** The span it is part of: one of this or another process, or the request's first one when left out. */
  readonly parent?: string | undefined;
  /** Whether it is the request's first one, which the others of the trace know without being told. */
  readonly isFirst?: boolean;
  /** Milliseconds since 1970; now when left out. */
  readonly startedAt?: number;
}

/** What takes spans to where they are looked at. */
export interface Tracer {
  start(span: SpanStart): LiveSpan;
}

interface Active {
  readonly id: string;
  /** Of the span that is under way; that of the request's first one when undefined. */
  readonly span: string | undefined;
  /** Whether spans of it are kept. */
  readonly isTraced: boolean;
}

const traces = new AsyncLocalStorage<Active>();
let tracer: Tracer | undefined;

/** From now on spans of this process go to the tracer; without one they cost nothing. */
export function useTracer(next: Tracer | undefined): void {
  tracer = next;
}

/** Runs `work` with a correlation id that calls made inside it carry along. */
export function withTrace<T>(id: string, work: () => T): T {
  return traces.run({ id, span: undefined, isTraced: id !== '' }, work);
}

export function currentTrace(): string | undefined {
  return traces.getStore()?.id;
}

export function newTrace(): string {
  return randomUUID();
}

/**
 * Runs a part of the present request's work as a span of its trace. Work that belongs to no
 * request runs without one. The span's id is given to `work`, undefined where none is kept.
 */
export function span<T>(name: string, attributes: Attributes, work: (span?: string) => T, kind?: SpanKind): T {
  const active = traces.getStore();
  if (tracer === undefined || active === undefined || !active.isTraced) return work();
  const { id: trace, span: parent } = active;
  return run(tracer.start({ name, attributes, trace, parent, ...(kind === undefined ? {} : { kind }) }), trace, work);
}

/** A request from its arrival on, or what another process began of it: `withTrace` that is a span itself. */
export function traced<T>(start: SpanStart, work: () => T): T {
  if (tracer === undefined) return withTrace(start.trace, work);
  return run(tracer.start(start), start.trace, work);
}

/** `withTrace` for work whose spans nobody keeps: what asked for it is no request. */
export function untraced<T>(id: string, work: () => T): T {
  return traces.run({ id, span: undefined, isTraced: false }, work);
}

/** A part of a request that is over. */
export function endedSpan(start: SpanStart): void {
  tracer?.start(start).end();
}

function run<T>(live: LiveSpan, trace: string, work: (span?: string) => T): T {
  let result: T;
  try {
    result = traces.run({ id: trace, span: live.id, isTraced: true }, () => work(live.id));
  } catch (error) {
    live.end(error);
    throw error;
  }
  if (!(result instanceof Promise)) {
    live.end();
    return result;
  }
  result.then(
    () => live.end(),
    (error: unknown) => live.end(error),
  );
  return result;
}
