/** The streams of a served object, published for as long as its server runs. */
import { once } from 'node:events';
import { type BusLog, pause } from './broker.ts';
import { encode } from './codec.ts';
import type { ServedObject } from './dispatch.ts';
import { WireError } from './errors.ts';
import { queueName } from './frames.ts';
import { FRAME_MOST_BYTES } from './limits.ts';
import type { Line } from './line.ts';
import type { Wire } from './wire.ts';

interface Publishing {
  readonly module: string;
  readonly line: Line;
  readonly log: BusLog;
  /** Ends all streams. */
  readonly signal: AbortSignal;
}

/** Between the failure of a stream and its next beginning. */
const STREAM_PAUSE_MS = 1_000;

/** Each ends with the signal, or with its generator. */
export function publishStreams({ definition, service }: ServedObject, publishing: Publishing): Promise<void>[] {
  const prefix = queueName(publishing.module, { Name: definition.object, Version: definition.version });
  return Object.entries(definition.streams).flatMap(([name, wire]) => {
    const generator = service[`${name}$`];
    if (typeof generator !== 'function') return [];
    return [publish(`${prefix}.${name}`, wire, () => generator.call(service, publishing.signal), publishing)];
  });
}

/** A stream that fails begins anew: its listeners would wait for ever, and nobody tells them. */
async function publish(
  channel: string,
  wire: Wire,
  start: () => AsyncIterable<unknown>,
  publishing: Publishing,
): Promise<void> {
  const { log, signal } = publishing;
  const stopped = once(signal, 'abort').catch(() => undefined);
  while (!signal.aborted) {
    try {
      const values = start()[Symbol.asyncIterator]();
      for (;;) {
        const next = await Promise.race([values.next(), stopped.then(() => undefined)]);
        if (next === undefined || next.done) return;
        publishOne(channel, wire, next.value, publishing);
      }
    } catch (error) {
      log.error({ err: error, channel, againInMs: STREAM_PAUSE_MS }, 'a stream failed and begins anew');
      await pause(STREAM_PAUSE_MS, signal);
    }
  }
}

/** A malformed event would kill a listening Go process, so every value is encoded by its type first. */
function publishOne(channel: string, wire: Wire, value: unknown, { line, log }: Publishing): void {
  try {
    const payload = encode(wire, value);
    if (payload.length > FRAME_MOST_BYTES) throw new WireError(`${payload.length} bytes, more than a message may have`);
    line
      .send('PUBLISH', channel, payload)
      .catch((error: unknown) => log.debug({ reason: String(error), channel }, 'an event was lost with the broker'));
  } catch (error) {
    log.error({ err: error, channel }, 'an event cannot be sent and was not published');
  }
}
