import { describe, expect, it } from 'vitest';
import { decodeRequest, encodeRequest } from '../frames.ts';
import { currentTrace, type SpanStart, span, traced, untraced, useTracer, withTrace } from '../trace.ts';
import { firstSpanOf, traceIdOf } from './identity.ts';
import { measured } from './measured.ts';
import { SpanOutbox } from './outbox.ts';
import { numberOf, resourceAttributes, sampledShare, wantsTraces } from './settings.ts';

type Spans = Parameters<SpanOutbox['onEnd']>[0];

const one = {} as Spans;
const limits = { queue: 4, batch: 2, delayMs: 5, deadlineMs: 200 };

describe('ids of traces', () => {
  it('are the digits of a UUID, and a hash of anything else', () => {
    expect(traceIdOf('0B9A3A55-6b1e-4c6f-8a3c-7d5f8a2f3c10')).toBe('0b9a3a556b1e4c6f8a3c7d5f8a2f3c10');
    for (const text of ['', 'order 66', '00000000-0000-0000-0000-000000000000', 'x'.repeat(5000)]) {
      expect(traceIdOf(text)).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
      expect(traceIdOf(text)).toBe(traceIdOf(text));
      expect(firstSpanOf(text)).toMatch(/^[0-9a-f]{16}$/);
    }
    expect(traceIdOf('a')).not.toBe(traceIdOf('b'));
  });
});

describe('what the environment says of traces', () => {
  it.each([
    [{}, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }, true],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c:4318/x' }, true],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_SDK_DISABLED: 'TRUE' }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_TRACES_EXPORTER: 'none' }, false],
  ])('%j wants them: %s', (env, wanted) => {
    expect(wantsTraces(env)).toBe(wanted);
  });

  it('chooses a share, numbers and attributes', () => {
    expect(sampledShare({})).toBe(1);
    expect(sampledShare({ OTEL_TRACES_SAMPLER: 'always_off' })).toBe(0);
    expect(sampledShare({ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' })).toBe(
      0.25,
    );
    expect(sampledShare({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '7' })).toBe(1);
    expect([numberOf(undefined, 5), numberOf('-1', 5), numberOf('x', 5), numberOf('9', 5)]).toEqual([5, 5, 5, 9]);
    expect(resourceAttributes('a=1, b=x%20y,broken,=z,c=%')).toEqual({ a: '1', b: 'x y' });
  });
});

describe('ended spans on their way', () => {
  it('are sent in batches, and counted', async () => {
    const sent: number[] = [];
    const exporter = {
      export: (spans: readonly Spans[], done: (result: { code: number }) => void) => {
        sent.push(spans.length);
        done({ code: 0 });
      },
      shutdown: async () => undefined,
    };
    const outbox = new SpanOutbox(exporter, limits);
    for (let i = 0; i < 3; i++) outbox.onEnd(one);
    await outbox.forceFlush();
    expect(sent).toEqual([2, 1]);
    expect(outbox.counts).toEqual({ exported: 3, dropped: 0, failed: 0 });
  });

  it('never wait for a collector that does not answer, and never grow beyond the bound', async () => {
    const exporter = { export: () => undefined, shutdown: () => new Promise<void>(() => undefined) };
    const outbox = new SpanOutbox(exporter, limits);
    for (let i = 0; i < 100; i++) outbox.onEnd(one);
    await outbox.shutdown();
    const { exported, dropped, failed } = outbox.counts;
    expect(exported).toBe(0);
    expect(dropped + failed).toBe(100);
    expect(dropped).toBeGreaterThanOrEqual(100 - limits.queue - limits.batch);
  });

  it('outlive an exporter that throws', async () => {
    const throwing = () => {
      throw new Error('broken');
    };
    const outbox = new SpanOutbox({ export: throwing, shutdown: async () => undefined }, limits);
    outbox.onEnd(one);
    await outbox.forceFlush();
    expect(outbox.counts).toEqual({ exported: 0, dropped: 0, failed: 1 });
  });
});

describe('spans', () => {
  it('are parts of the request alone, each below what began it', async () => {
    const began: (SpanStart & { id: string; error?: unknown })[] = [];
    useTracer({
      start: (start) => {
        const live = { ...start, id: `${began.length}`, error: undefined as unknown };
        began.push(live);
        return { id: live.id, end: (error) => Object.assign(live, { error }) };
      },
    });
    try {
      span('nobody asked', {}, () => untraced('t', () => span('polls', {}, () => undefined)));
      expect(began).toEqual([]);
      const failing = traced({ name: 'request', trace: 't', isFirst: true }, async () => {
        expect(currentTrace()).toBe('t');
        await span('part', {}, async () => span('of it', {}, () => undefined));
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
      withTrace('t', () => span('later', {}, () => undefined));
      expect(began.map(({ name, parent }) => [name, parent])).toEqual([
        ['request', undefined],
        ['part', '0'],
        ['of it', '1'],
        ['later', undefined],
      ]);
      expect(began[0]?.error).toEqual(new Error('no'));
      expect(began[1]?.error).toBeUndefined();
    } finally {
      useTracer(undefined);
    }
    expect(withTrace('t', () => span('none', {}, (id) => id))).toBeUndefined();
  });

  it('cross the bus only where one is kept, and only as what they are', () => {
    const request = { id: 'i', inputs: [], object: { Name: 'o', Version: '1' }, replyTo: 'r', method: 'M', trace: 't' };
    expect(encodeRequest({ ...request }).includes('Span')).toBe(false);
    expect(decodeRequest(encodeRequest({ ...request, span: '0123456789abcdef' })).span).toBe('0123456789abcdef');
    expect(decodeRequest(encodeRequest({ ...request, span: '../../etc/passwd' })).span).toBeUndefined();
  });
});

describe('a measured object', () => {
  it('is the object to who uses it, private parts and all', async () => {
    class Counted {
      #count = 0;
      get count(): number {
        return this.#count;
      }
      async add(by: number): Promise<number> {
        this.#count += by;
        return this.twice();
      }
      twice(): number {
        return 2 * this.#count;
      }
    }
    const calls: string[] = [];
    const around = <T>(name: string, run: () => T): T => {
      calls.push(name);
      return run();
    };
    const seen = measured(new Counted(), around, (name) => name === 'add');
    expect(await seen.add(3)).toBe(6);
    expect([seen.count, seen.twice(), seen instanceof Counted]).toEqual([3, 6, true]);
    expect(calls).toEqual(['add']);
  });
});
