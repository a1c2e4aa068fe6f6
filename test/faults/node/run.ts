/**
 * Hits a simulated node at every point at which its orchestrator touches something outside itself.
 *
 * `node test/faults/node/run.ts [--all | --count N] [--seed S] [--seconds T] [--side-by-side W] [--scenario NAME]`
 * `node test/faults/node/run.ts --scenario NAME --site SITE --fault FAULT [--echo SITES:PICK] [--journal KIND]`
 *
 * Points are found by running each scenario once. `--count` takes so many of them by the seed, or hits
 * the node twice where there are fewer points than that; the second form runs one again. Prints one JSON
 * line; ends with 1 when a promise was broken, with what did not hold and the command that shows it.
 */
import { parseArgs } from 'node:util';
import { choose, enumerate, explore, type Run } from './explore.ts';
import type { Fault } from './faults.ts';
import type { JournalKind } from './orchestrator.ts';
import { scenarios } from './scenarios.ts';

const { values } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    count: { type: 'string', default: '1000' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
    seconds: { type: 'string', default: '600' },
    'side-by-side': { type: 'string', default: '12' },
    'most-failures': { type: 'string', default: '10' },
    scenario: { type: 'string' },
    site: { type: 'string' },
    fault: { type: 'string' },
    echo: { type: 'string' },
    journal: { type: 'string' },
  },
});
const started = performance.now();
const seed = Number(values.seed);

async function runs(): Promise<{ readonly points: number; readonly chosen: Run[] }> {
  const { site, fault } = values;
  if (site === undefined || fault === undefined) {
    const all = await enumerate(values.scenario);
    const chosen = choose(all, values.all ? all.length : Number(values.count), seed);
    const journal = values.journal as JournalKind | undefined;
    return { points: all.length, chosen: journal === undefined ? chosen : chosen.map((run) => ({ ...run, journal })) };
  }
  const scenario = scenarios.find((one) => one.name === values.scenario);
  if (scenario === undefined) throw new Error(`--scenario is one of: ${scenarios.map(({ name }) => name).join(', ')}`);
  const [sites, pick] = (values.echo ?? '').split(':').map(Number);
  const echo = sites === undefined || pick === undefined ? {} : { echo: { sites, pick } };
  const journal = (values.journal ?? 'sqlite') as JournalKind;
  return { points: 1, chosen: [{ scenario, point: { site, fault: fault as Fault }, ...echo, journal }] };
}

const { points, chosen } = await runs();
const outcome = await explore(chosen, {
  sideBySide: Number(values['side-by-side']),
  milliseconds: Number(values.seconds) * 1_000,
  failuresMost: Number(values['most-failures']),
});
const { failures, ...counts } = outcome;
const cpu = process.cpuUsage();
process.stdout.write(
  `${JSON.stringify({
    ...{ seed, points, twice: chosen.filter(({ echo }) => echo !== undefined).length },
    ...counts,
    seconds: Math.round((performance.now() - started) / 1_000),
    cpuSeconds: Math.round((cpu.user + cpu.system) / 1e6),
    failures: failures.length,
  })}\n`,
);
for (const failure of failures) process.stderr.write(`${failure}\n\n`);
process.exit(failures.length === 0 ? 0 : 1);
