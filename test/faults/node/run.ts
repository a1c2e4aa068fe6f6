/**
 * Hits a simulated node at every point at which its orchestrator touches something outside itself.
 *
 * `node test/faults/node/run.ts [--count N] [--share K/N] [--doubled] [--life NAME] [--journal both|sqlite|memory]`
 * `node test/faults/node/run.ts --point NUMBER[,NUMBER]`
 * `node test/faults/node/run.ts --life NAME --hit 'PHASE | SITE | FAULT [| SITES | FAULT]' [--hit …] [--journal KIND]`
 * `node test/faults/node/run.ts --list`
 *
 * Points are found by living each life once; all are hit, or `--count` of them evenly. `--doubled` hits
 * instead those that kill, and once more while the first is mended. The second form hits single ones, the third what
 * a failure printed: every hit of a life in order. Prints one JSON line; ends with 1 when a promise was broken,
 * with what did not hold and the command that shows it.
 */
import { parseArgs } from 'node:util';
import { endWith } from '../ending.ts';
import { enumerate, explore } from './explore.ts';
import type { Fault } from './faults.ts';
import type { JournalKind } from './orchestrator.ts';
import { doubled, type Hit, numberOf, shareOf, spread } from './points.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string' },
    share: { type: 'string', default: '1/1' },
    doubled: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '600' },
    'side-by-side': { type: 'string', default: '12' },
    'most-failures': { type: 'string', default: '10' },
    life: { type: 'string' },
    hit: { type: 'string', multiple: true },
    point: { type: 'string' },
    journal: { type: 'string', default: 'both' },
  },
});
const started = performance.now();

function hitOf(life: string, text: string): Hit {
  const [phase = '', site = '', fault = '', sites, second] = text.split(' | ');
  const echo = sites === undefined ? {} : { echo: { sites: Number(sites), fault: second as Fault } };
  return { life, phase, point: { site, fault: fault as Fault }, ...echo };
}

async function all(): Promise<Hit[]> {
  const once = await enumerate(values.life);
  return values.doubled ? doubled(once) : once;
}

async function chosen(): Promise<{ readonly points: number; readonly hits: Hit[] }> {
  const { life, hit, point, share, count } = values;
  if (hit !== undefined) {
    if (life === undefined) throw new Error('--hit needs --life');
    return { points: hit.length, hits: hit.map((text) => hitOf(life, text)) };
  }
  const found = await all();
  if (point !== undefined) {
    const wanted = new Set(point.split(','));
    const twice = doubled(found.filter(({ echo }) => echo === undefined));
    return { points: wanted.size, hits: [...found, ...twice].filter((one) => wanted.has(numberOf(one))) };
  }
  const [part = 1, parts = 1] = share.split('/').map(Number);
  return { points: found.length, hits: shareOf(spread(found, Number(count ?? found.length)), part - 1, parts) };
}

function tally(hits: readonly Hit[], of: (hit: Hit) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const hit of hits) counts[of(hit)] = (counts[of(hit)] ?? 0) + 1;
  return counts;
}

if (values.list) {
  const hits = await all();
  const lines = hits.map(({ life, phase, point, echo }) =>
    [life, phase, point.site, point.fault, ...(echo === undefined ? [] : [echo.sites, echo.fault])].join(' | '),
  );
  hits.forEach((hit, index) => {
    process.stdout.write(`${numberOf(hit)} ${lines[index]}\n`);
  });
  const sums = {
    life: tally(hits, ({ life, phase }) => `${life}: ${phase}`),
    fault: tally(hits, (hit) => hit.point.fault),
  };
  process.stdout.write(`${JSON.stringify({ points: hits.length, ...sums })}\n`);
  await endWith(0);
}

const { points, hits } = await chosen();
const { failures, ...counts } = await explore(hits, {
  journal: values.journal as JournalKind | 'both',
  sideBySide: Number(values['side-by-side']),
  milliseconds: Number(values.seconds) * 1_000,
  failuresMost: Number(values['most-failures']),
});
const cpu = process.cpuUsage();
process.stdout.write(
  `${JSON.stringify({
    ...{ points, chosen: hits.length, twice: hits.filter(({ echo }) => echo !== undefined).length },
    ...counts,
    seconds: Math.round((performance.now() - started) / 1_000),
    cpuSeconds: Math.round((cpu.user + cpu.system) / 1e6),
    failures: failures.length,
  })}\n`,
);
for (const failure of failures) process.stderr.write(`${failure}\n\n`);
await endWith(failures.length === 0 ? 0 : 1);
