/**
 * Hits a real node, with machines, pools and networks of the kernel's, at every call that its orchestrator
 * makes and answers while one deployment of a network, a disk, a volume and a machine comes, changes and goes.
 *
 * `node test/faults/real/run.ts [--count N] [--seconds T] [--point NUMBER[,NUMBER]] [--list] [--done FILE] [--part I/N] [--times N]`
 *
 * Points are found by one life without a hit. A life takes three of them, one in each of its phases; one that does
 * not come by is tried twice. What held is written to FILE, a line each, and not hit again by the next run with it.
 * `--part` takes the Ith of N equal shares, `--times` hits each so many times. Prints one JSON line; ends with 1
 * when a promise was broken, with the numbers of the points of that life. Needs root.
 */

import { writeSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Hit, numbered, numberOf, PHASES, spread } from './points.ts';
import { RealWorld } from './world.ts';

const MOST_FAILURES = 5;
const TRIES = 2;
/** Lived also where the time was over before: to begin a node takes a busy machine long. */
const LEAST_LIVES = 3;
/** A machine's page is waited for in every so many lives: its kernel starts behind everything else. */
const PAGE_EVERY = 6;
const { values } = parseArgs({
  options: {
    count: { type: 'string' },
    seconds: { type: 'string', default: '7200' },
    point: { type: 'string' },
    list: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    done: { type: 'string' },
    part: { type: 'string', default: '1/1' },
    times: { type: 'string', default: '1' },
  },
});
const started = performance.now();
const elapsed = (): number => (performance.now() - started) / 1_000;

function say(hit: Hit): string {
  return `${numberOf(hit)} ${hit.phase} | ${hit.site} | ${hit.victim}`;
}

/** Numbers of points that held before, by the file's lines. */
async function doneBefore(): Promise<ReadonlySet<string>> {
  if (values.done === undefined) return new Set();
  const text = await readFile(values.done, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return new Set(text.split('\n').map((line) => line.split(' ')[0] ?? ''));
}

/** A share of all by their numbers, which is the same in every run. */
function isMine(hit: Hit): boolean {
  const [index, of] = values.part.split('/').map(Number) as [number, number];
  return Number.parseInt(numberOf(hit), 16) % of === index - 1;
}

async function run(world: RealWorld): Promise<boolean> {
  const all = await world.enumerate();
  if (values.list) {
    for (const hit of all) writeSync(1, `${say(hit)}\n`);
  }
  const before = await doneBefore();
  const wanted = values.point?.split(',');
  const chosen = (
    wanted === undefined
      ? spread(all, values.list ? 0 : Number(values.count ?? all.length * PHASES.length))
      : numbered(all, wanted)
  ).filter((one) => isMine(one) && !before.has(numberOf(one)));
  const due = Array.from({ length: Number(values.times) }, () => chosen).flat();
  const queues = PHASES.map((phase) => due.filter((one) => one.phase === phase));
  const failures: string[] = [];
  const victims: Record<string, number> = {};
  const tries = new Map<Hit, number>();
  const missed: string[] = [];
  let [hit, lives] = [0, 0];
  const begun = elapsed();
  while (
    queues.some((queue) => queue.length > 0) &&
    !isBrokenOff &&
    failures.length < MOST_FAILURES &&
    (elapsed() < Number(values.seconds) || lives < LEAST_LIVES)
  ) {
    const hits = queues.flatMap((queue) => queue.splice(0, 1));
    const from = elapsed();
    let left: readonly Hit[] = [];
    try {
      left = await world.hit(hits, lives % PAGE_EVERY === 0);
      for (const one of left) {
        const tried = (tries.get(one) ?? 0) + 1;
        tries.set(one, tried);
        if (tried === TRIES) missed.push(say(one));
        else queues[PHASES.indexOf(one.phase)]?.push(one);
      }
      const held = hits.filter((one) => !left.includes(one));
      hit += held.length;
      for (const { victim } of held) victims[victim] = (victims[victim] ?? 0) + 1;
      if (values.done !== undefined) await appendFile(values.done, held.map((one) => `${say(one)}\n`).join(''));
    } catch (error) {
      failures.push(
        `node test/faults/real/run.ts --point ${hits.map(numberOf).join(',')}\n  ${hits.map(say).join('\n  ')}\n${(error as Error).stack}`,
      );
      if (values.verbose) writeSync(2, `${new Date().toISOString()} ${failures.at(-1)}\n`);
    }
    lives += 1;
    if (values.verbose) {
      const passed = left.length === 0 ? '' : ` missed ${left.map(numberOf).join(' ')}`;
      writeSync(
        2,
        `${(elapsed() - from).toFixed(1)} s ${hits.map(say).join(' + ')}${passed} failures ${failures.length}\n`,
      );
    }
  }
  const seconds = Math.round(elapsed());
  const each = lives === 0 ? 0 : Number(((elapsed() - begun) / lives).toFixed(1));
  writeSync(
    1,
    `${JSON.stringify({ points: all.length, chosen: due.length, hit, missed, lives, each, victims, seconds, failures: failures.length })}\n`,
  );
  for (const failure of failures) writeSync(2, `${failure}\n\n`);
  return failures.length === 0;
}

/** The life that has begun is ended, and the node is stopped. */
let isBrokenOff = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    isBrokenOff = true;
  });
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
