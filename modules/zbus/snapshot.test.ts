/** Streams whose listeners start from a state. */
import { describe, expect, it } from 'vitest';
import { encode } from './codec.ts';
import { ZbusError } from './errors.ts';
import { counter } from './testing/counter.ts';
import { connect, failure, peek, QUEUE, redis, serve } from './testing/live.ts';

const CHANNEL = `${QUEUE}.Ticks`;
const tell = (value: number): Promise<number> => peek.publish(CHANNEL, encode(counter.streams.Ticks, value));

describe('a stream with a snapshot', () => {
  it('takes the snapshot once it listens, and gives the events since then', async () => {
    const events = connect().streamWithSnapshot(counter, 'Ticks', async () => {
      // Whoever is told is a listener already.
      expect(await tell(1)).toBe(1);
      expect(await tell(2)).toBe(1);
      return 'state';
    });
    expect((await events.next()).value).toEqual({ kind: 'snapshot', value: 'state' });
    expect((await events.next()).value).toEqual({ kind: 'event', value: 1 });
    expect((await events.next()).value).toEqual({ kind: 'event', value: 2 });
    await events.return?.();
    await expect.poll(() => tell(3)).toBe(0);
  });

  it('takes another after each loss of the broker', async () => {
    let taken = 0;
    const stop = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      const events = connect().streamWithSnapshot(counter, 'Ticks', async () => ++taken, { signal: stop.signal });
      for await (const { kind, value } of events) seen.push(`${kind} ${value}`);
    })();
    await expect.poll(() => seen).toEqual(['snapshot 1']);
    await tell(7);
    await expect.poll(() => seen.at(-1)).toBe('event 7');
    await redis.restart(50);
    await expect.poll(() => seen.at(-1)).toBe('snapshot 2');
    await tell(8);
    await expect.poll(() => seen.at(-1)).toBe('event 8');
    await peek.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await expect.poll(() => seen.at(-1)).toBe('snapshot 3');
    stop.abort();
    await following;
  });

  it('asks again while the module is away, and ends with what asking again would not help', async () => {
    const calls = connect().of(counter);
    let asked = 0;
    const events = connect().streamWithSnapshot(counter, 'Ticks', async (signal) => {
      asked += 1;
      if (asked === 2) await serve();
      return await calls.Add({ a: 1, b: 1 }, { deadlineMs: asked === 1 ? 200 : 20_000, signal });
    });
    expect((await events.next()).value).toEqual({ kind: 'snapshot', value: 2 });
    expect(asked).toBe(2);
    await events.return?.();
    const refused = connect().streamWithSnapshot(counter, 'Ticks', () =>
      Promise.reject(new ZbusError('protocol', 'unknown object')),
    );
    expect(await failure(refused.next())).toMatchObject({ kind: 'protocol' });
  });

  it('ends with its client and with its signal, also while it asks', async () => {
    const client = connect();
    const never = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const stop = new AbortController();
    const aborted = client.streamWithSnapshot(counter, 'Ticks', never, { signal: stop.signal });
    const first = aborted.next();
    await expect.poll(() => peek.pubsub('NUMSUB', CHANNEL)).toEqual([CHANNEL, 1]);
    stop.abort();
    expect(await first).toEqual({ done: true, value: undefined });
    const closed = client.streamWithSnapshot(counter, 'Ticks', never);
    const second = failure(closed.next());
    await expect.poll(() => peek.pubsub('NUMSUB', CHANNEL)).toEqual([CHANNEL, 1]);
    await client.close();
    expect(await second).toMatchObject({ kind: 'cancelled' });
  });
});
