/** What the standard OTEL_* environment variables say of traces. */

/** The variables' names are those of the OpenTelemetry specification. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Whether spans are to be sent anywhere. */
export function wantsTraces(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return false;
  if ((env.OTEL_TRACES_EXPORTER ?? 'otlp') !== 'otlp') return false;
  return isSet(env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) || isSet(env.OTEL_EXPORTER_OTLP_ENDPOINT);
}

/** The share of requests that is kept, 0 to 1. */
export function sampledShare(env: Environment): number {
  const sampler = (env.OTEL_TRACES_SAMPLER ?? '').replace(/^parentbased_/, '');
  if (sampler === 'always_off') return 0;
  const share = Number(env.OTEL_TRACES_SAMPLER_ARG ?? '1');
  return sampler === 'traceidratio' && share >= 0 && share <= 1 ? share : 1;
}

/** A number above 0 of a variable, `usual` without one. */
export function numberOf(text: string | undefined, usual: number): number {
  const value = Number(text);
  return isSet(text) && Number.isFinite(value) && value > 0 ? value : usual;
}

/** `key=value,key=value` as OTEL_RESOURCE_ATTRIBUTES has it; what is not so is left out. */
export function resourceAttributes(text: string | undefined): Record<string, string> {
  const pairs = (text ?? '').split(',').flatMap((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) return [];
    try {
      return [[pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())]];
    } catch {
      return [];
    }
  });
  return Object.fromEntries(pairs) as Record<string, string>;
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text.trim() !== '';
}
