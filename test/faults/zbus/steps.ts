/** What may happen to a module, its callers and their broker, in any order. */
import fc from 'fast-check';

export type Step =
  /** A call of `key`, or of the whole object, or one that only reads; given up by the caller after `cancelMs`. */
  | ({ readonly do: 'call'; readonly turn: 'key' | 'all' | 'read'; readonly key: number } & Timing)
  /** The server is gone at once with all it held in memory. */
  | { readonly do: 'kill' }
  | { readonly do: 'start' }
  /** Told to end, as at an update; the next one may start meanwhile. */
  | { readonly do: 'stop'; readonly withinMs: number }
  | { readonly do: 'cut' | 'deafen' | 'orphan'; readonly whose: 'server' | 'client'; readonly ms: number }
  /** The client is closed and another takes its place. */
  | { readonly do: 'leave' }
  | { readonly do: 'restart-broker'; readonly ms: number }
  | { readonly do: 'freeze-broker'; readonly ms: number }
  /** The broker has no memory for anything new. */
  | { readonly do: 'fill-broker'; readonly ms: number }
  | { readonly do: 'drop-connections' }
  | { readonly do: 'wait'; readonly ms: number };

interface Timing {
  readonly ms: number;
  readonly deadlineMs: number;
  readonly cancelMs: number | null;
}

const milliseconds = (most: number): fc.Arbitrary<number> => fc.integer({ min: 0, max: most });

const call: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('call' as const),
  turn: fc.constantFrom('key' as const, 'key' as const, 'all' as const, 'read' as const),
  key: fc.integer({ min: 0, max: 2 }),
  ms: milliseconds(25),
  deadlineMs: fc.constantFrom(15, 60, 200, 600),
  cancelMs: fc.oneof(fc.constant(null), fc.constant(null), milliseconds(30)),
});

const fault: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ do: 'kill' }) },
  { weight: 4, arbitrary: fc.constant<Step>({ do: 'start' }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stop' as const), withinMs: milliseconds(40) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('cut' as const, 'deafen' as const, 'orphan' as const),
      whose: fc.constantFrom('server' as const, 'client' as const),
      ms: milliseconds(20),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'leave' }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart-broker' as const), ms: milliseconds(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('freeze-broker' as const), ms: milliseconds(30) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fill-broker' as const), ms: milliseconds(30) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'drop-connections' }) },
);

const wait: fc.Arbitrary<Step> = fc.record({ do: fc.constant('wait' as const), ms: milliseconds(15) });

/** One interleaving; it begins with one server and one client that are ready. */
export const interleaving: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof({ weight: 6, arbitrary: call }, { weight: 3, arbitrary: fault }, { weight: 2, arbitrary: wait }),
  { minLength: 2, maxLength: 16, size: 'max' },
);
