import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ZbusError } from './errors.ts';
import { type CallLog, counter } from './testing/counter.ts';
import { connect, ends, failure, peek, QUEUE, serve, taken } from './testing/live.ts';

const LONG_MS = 600_000;
/** More than a process takes to itself. */
const MANY = 50;

/** A server whose calls last until `end`, and a client that had an answer: it knows what to compare with later. */
async function answered(workers: number) {
  const log: CallLog = [];
  const end = Promise.withResolvers<void>();
  ends.push(async () => end.resolve());
  await serve(log, workers, end.promise);
  const calls = connect().of(counter);
  expect(await calls.Add({ a: 1, b: 1 })).toBe(2);
  return { log, end, calls };
}

describe('a broker that is emptied', () => {
  it('ends the calls that lay there and those whose answer may have, long before their deadline', async () => {
    const { log, end, calls } = await answered(1);
    const waiting: Promise<ZbusError>[] = Array.from({ length: MANY }, (_, index) =>
      failure(calls.Sleep({ name: `${index}`, ms: 1 }, { deadlineMs: LONG_MS })),
    );
    await expect.poll(taken).toBeGreaterThan(0);
    await expect.poll(async () => (await peek.llen(QUEUE)) + (await taken())).toBe(MANY);
    await peek.flushall();
    for (const error of await Promise.all(waiting)) {
      expect(error.kind).toBe('bus_lost');
      expect(error.message).toContain('the broker was emptied and forgot the call; it may or may not have run');
    }
    end.resolve();
    expect(await calls.Add({ a: 2, b: 2 })).toBe(4);
    expect(log.filter((line) => line.startsWith('+')).length).toBeLessThan(MANY);
  });

  it('ends nothing that was asked after it', async () => {
    const { log, end, calls } = await answered(2);
    const before = failure(calls.Sleep({ name: 'before', ms: 1 }, { deadlineMs: LONG_MS }));
    await expect.poll(() => log).toEqual(['+before']);
    await peek.flushall();
    expect((await before).kind).toBe('bus_lost');
    const after = calls.Sleep({ name: 'after', ms: 1 }, { deadlineMs: LONG_MS });
    await expect.poll(() => log).toContain('+after');
    // Longer than until the client looks again.
    await sleep(6_000);
    end.resolve();
    expect(await after).toBe('after');
  });

  it('ends nothing that was asked after it by one who had waited for nothing', async () => {
    const { log, end, calls } = await answered(2);
    // Longer than one look is good for.
    await sleep(500);
    await peek.flushall();
    const after = calls.Sleep({ name: 'after', ms: 1 }, { deadlineMs: LONG_MS });
    await expect.poll(() => log).toContain('+after');
    await sleep(6_000);
    end.resolve();
    expect(await after).toBe('after');
  });
});
