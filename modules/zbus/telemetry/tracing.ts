/** Traces of a process: begun once, and only where the environment names a collector. */
import { useTracer } from '../trace.ts';
import type { OtlpTracer } from './otlp.ts';
import type { SpanCounts } from './outbox.ts';
import { type Environment, wantsTraces } from './settings.ts';

let begun: Promise<OtlpTracer> | undefined;
let counts: SpanCounts | undefined;

/** A process may hold several daemons: the first one's name is the service's. Without a collector nothing is loaded. */
export async function beginTracing(daemon: string, env: Environment = process.env): Promise<void> {
  if (!wantsTraces(env)) return;
  begun ??= import('./otlp.ts').then(({ otlpTracer }) => {
    const tracer = otlpTracer(daemon, env);
    useTracer(tracer);
    return tracer;
  });
  const tracer = await begun;
  counts = tracer.counts;
}

/** Undefined where no collector is configured. */
export function spanCounts(): SpanCounts | undefined {
  return counts;
}

/** Sends what waits, within its deadline. */
export async function flushTraces(): Promise<void> {
  const tracer = await begun;
  await tracer?.flush();
}
