/**
 * Faults of the bus in random order.
 *
 * `node test/faults/zbus/run.ts [--count N] [--seed S] [--worlds W] [--seconds T]`
 *
 * Each of `--worlds` brokers runs its share of `--count` interleavings, or as
 * many as fit into `--seconds`. Prints one JSON line; ends with 1 at the first
 * interleaving that breaks a promise of the bus, which it prints with its seed.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { onceFailed } from './once-failed.ts';
import { interleaving } from './steps.ts';
import { World } from './world.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
    worlds: { type: 'string', default: '4' },
    seconds: { type: 'string' },
  },
});
const worlds = Number(values.worlds);
const share = Math.ceil(Number(values.count) / worlds);
const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
const started = performance.now();

interface Outcome {
  readonly runs: number;
  readonly failure: string | undefined;
  readonly world: World;
}

async function runWorld(seed: number): Promise<Outcome> {
  const world = await World.open();
  try {
    const found = await fc.check(
      fc.asyncProperty(interleaving, (steps) => world.run(steps)),
      {
        seed,
        numRuns: share,
        examples: onceFailed.map(({ steps }) => [[...steps]]),
        endOnFailure: true,
        ...(seconds === undefined ? {} : { interruptAfterTimeLimit: seconds * 1_000 }),
      },
    );
    const failure =
      found.failed && found.counterexample !== null
        ? `seed ${seed}, path ${found.counterexamplePath}:\n${String(found.errorInstance)}\n${JSON.stringify(found.counterexample[0])}`
        : undefined;
    return { runs: found.numRuns, failure, world };
  } finally {
    await world.close();
  }
}

const outcomes = await Promise.all(Array.from({ length: worlds }, (_, index) => runWorld(Number(values.seed) + index)));
const sum = (counts: (world: World) => Map<string, number>): Record<string, number> => {
  const total: Record<string, number> = {};
  for (const { world } of outcomes) {
    for (const [name, count] of counts(world)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
};
const failures = outcomes.flatMap(({ failure }) => (failure === undefined ? [] : [failure]));
process.stdout.write(
  `${JSON.stringify({
    seed: Number(values.seed),
    interleavings: outcomes.reduce((total, { runs }) => total + runs, 0),
    calls: outcomes.reduce((total, { world }) => total + world.calls, 0),
    ends: sum(({ ends }) => ends),
    steps: sum(({ steps }) => steps),
    seconds: Math.round((performance.now() - started) / 1_000),
    failures: failures.length,
  })}\n`,
);
for (const failure of failures) process.stderr.write(`${failure}\n`);
process.exit(failures.length === 0 ? 0 : 1);
