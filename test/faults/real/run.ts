/**
 * Hits a real node, with machines, pools and networks of the kernel's, at every call that its orchestrator
 * makes and answers while one deployment of a network, a disk, a volume and a machine comes, changes and goes.
 *
 * `node test/faults/real/run.ts [--count N] [--seconds T] [--point NUMBER[,NUMBER]] [--list]`
 *
 * Points are found by one life without a hit. A life takes three of them, one in each of its phases. Prints one
 * JSON line; ends with 1 when a promise was broken, with the numbers of the points of that life. Needs root.
 */
import { writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Hit, numberOf, PHASES, spread } from './points.ts';
import { RealWorld } from './world.ts';

const MOST_FAILURES = 5;
/** A machine's page is waited for in every so many lives: its kernel starts behind everything else. */
const PAGE_EVERY = 6;
const { values } = parseArgs({
  options: {
    count: { type: 'string' },
    seconds: { type: 'string', default: '7200' },
    point: { type: 'string' },
    list: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const started = performance.now();
const elapsed = (): number => (performance.now() - started) / 1_000;

function say(hit: Hit): string {
  return `${numberOf(hit)} ${hit.phase} | ${hit.site} | ${hit.victim}`;
}

async function run(world: RealWorld): Promise<boolean> {
  const all = await world.enumerate();
  if (values.list) {
    for (const hit of all) writeSync(1, `${say(hit)}\n`);
  }
  const wanted = values.point?.split(',');
  const chosen =
    wanted === undefined
      ? spread(all, values.list ? 0 : Number(values.count ?? all.length))
      : all.filter((one) => wanted.includes(numberOf(one)));
  const queues = PHASES.map((phase) => chosen.filter((one) => one.phase === phase));
  const failures: string[] = [];
  const victims: Record<string, number> = {};
  const missed: string[] = [];
  let [hit, lives] = [0, 0];
  const begun = elapsed();
  while (
    queues.some((queue) => queue.length > 0) &&
    failures.length < MOST_FAILURES &&
    elapsed() < Number(values.seconds)
  ) {
    const hits = queues.flatMap((queue) => queue.splice(0, 1));
    const from = elapsed();
    try {
      const left = await world.hit(hits, lives % PAGE_EVERY === 0);
      missed.push(...left.map(say));
      hit += hits.length - left.length;
      for (const { victim } of hits) victims[victim] = (victims[victim] ?? 0) + 1;
    } catch (error) {
      failures.push(
        `node test/faults/real/run.ts --point ${hits.map(numberOf).join(',')}\n  ${hits.map(say).join('\n  ')}\n${(error as Error).stack}`,
      );
    }
    lives += 1;
    if (values.verbose)
      writeSync(2, `${(elapsed() - from).toFixed(1)} s ${hits.map(say).join(' + ')} failures ${failures.length}\n`);
  }
  const seconds = Math.round(elapsed());
  const each = lives === 0 ? 0 : Number(((elapsed() - begun) / lives).toFixed(1));
  writeSync(
    1,
    `${JSON.stringify({ points: all.length, chosen: chosen.length, hit, missed, lives, each, victims, seconds, failures: failures.length })}\n`,
  );
  for (const failure of failures) writeSync(2, `${failure}\n\n`);
  return failures.length === 0;
}

const world = await RealWorld.start();
let isKept = false;
let traces: string[] = [];
try {
  isKept = await run(world);
} finally {
  traces = await world.stop();
  if (traces.length > 0) writeSync(2, `left on the host: ${traces.join(', ')}\n`);
}
process.exit(isKept && traces.length === 0 ? 0 : 1);
