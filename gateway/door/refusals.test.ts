import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { address, createEnvelope, type Envelope } from '../rmb/envelope.ts';
import type { TwinRecord } from '../rmb/twins.ts';
import { DEFAULT_DOOR_LIMITS } from './limits.ts';
import { DoorMetrics } from './metrics.ts';
import { Refusals } from './refusals.ts';

const refusal = new GridError('door_overloaded', { waitMs: 80, limitMs: 50, retryAfterSeconds: 1 });
const of = (twin: number): Envelope => createEnvelope({ uid: 'u', source: address(twin) });

function make(overloaded: boolean) {
  const waiting: (() => void)[] = [];
  let told = 0;
  const refusals = new Refusals({
    answer: async () => {
      told += 1;
    },
    log: pino({ level: 'silent' }),
    metrics: new DoorMetrics(),
    limits: DEFAULT_DOOR_LIMITS,
    now: () => 1_700_000_000_000,
    overloaded: () => overloaded,
    prove: ({ source }) =>
      new Promise((resolve) => {
        waiting.push(() => resolve({ id: source?.twin ?? 0 } as TwinRecord));
      }),
  });
  return { refusals, waiting, told: () => told };
}

describe('telling a refusal', () => {
  it.each([
    [false, 64],
    [true, 4],
  ])('verifies few signatures at once, fewer in an overload (%s)', async (overloaded, most) => {
    const { refusals, waiting, told } = make(overloaded);
    const verdicts = Array.from({ length: 100 }, (_, twin) => refusals.proveAndTell('overload', refusal, of(twin + 1)));
    expect(waiting.length).toBe(most);
    for (const prove of waiting.splice(0)) prove();
    const answered = (await Promise.all(verdicts)).filter((one) => one.outcome === 'refused' && one.answered);
    expect([answered.length, told()]).toEqual([most, most]);
    // There is room again.
    const later = refusals.proveAndTell('overload', refusal, of(500));
    waiting[0]?.();
    expect(await later).toMatchObject({ answered: true });
  });
});
