/**
 * Kills the relay, the gateway or Redis at every message between a tenant's request and its answer.
 *
 * `--list`; `--count N` evenly; `--point a,b`; `--seconds N` to begin no more after; `--verbose`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endWith } from '../ending.ts';
import { live, messages } from './life.ts';
import { type Hit, numberOf, PHASES, say, spread, VICTIMS } from './points.ts';
import { GatewayWorld } from './world.ts';

const SIDE_BY_SIDE = 4;
const MOST_FAILURES = 5;

const { values } = parseArgs({
  options: {
    list: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    count: { type: 'string' },
    point: { type: 'string' },
    seconds: { type: 'string', default: '900' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'gn-way-'));
const failures: string[] = [];
const missed: string[] = [];
let [worlds, tried, hit, lives] = [0, 0, 0, 0];
const until = performance.now() + Number(values.seconds) * 1000;

async function inWorld<T>(work: (world: GatewayWorld) => Promise<T>): Promise<T> {
  worlds += 1;
  const world = await GatewayWorld.start(join(folder, `${worlds}`));
  try {
    return await work(world);
  } finally {
    await world.close();
  }
}

/** One world until something does not hold in it. */
async function hitThem(queues: readonly Hit[][]): Promise<void> {
  const isOver = (): boolean =>
    queues.every((queue) => queue.length === 0) || failures.length >= MOST_FAILURES || performance.now() > until;
  while (!isOver()) {
    await inWorld(async (world) => {
      for (let contract = 1n; !isOver(); contract++) {
        const hits = queues.flatMap((queue) => queue.splice(0, 1));
        lives += 1;
        try {
          const left = await live(world, contract, hits);
          tried += hits.length;
          missed.push(...left.map(say));
          hit += hits.length - left.length;
        } catch (error) {
          const numbers = hits.map(numberOf).join(',');
          failures.push(
            `node test/faults/gateway/run.ts --point ${numbers}\n  ${hits.map(say).join('\n  ')}\n${(error as Error).stack}`,
          );
          return;
        }
        if (values.verbose) process.stderr.write(`${hits.map(say).join(' + ')}\n`);
      }
    });
  }
}

try {
  const all = await inWorld(async (world) => {
    // What is asked for the first time only is in memory then.
    await messages(world, 1n);
    const found = await messages(world, 2n);
    return PHASES.flatMap((phase) =>
      (found.get(phase) ?? []).flatMap((site) => VICTIMS.map((victim): Hit => ({ phase, site, victim }))),
    );
  });
  if (values.list) process.stdout.write(`${all.map(say).join('\n')}\n`);
  const wanted = values.point?.split(',');
  const chosen =
    wanted === undefined
      ? spread(all, values.list ? 0 : Number(values.count ?? all.length))
      : all.filter((one) => wanted.includes(numberOf(one)));
  const queues = PHASES.map((phase) => chosen.filter((one) => one.phase === phase));
  await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, chosen.length) }, () => hitThem(queues)));
  const seconds = Math.round(process.cpuUsage().user / 1e6);
  const numbers = {
    points: all.length,
    chosen: chosen.length,
    tried,
    hit,
    missed,
    lives,
    seconds,
    failures: failures.length,
  };
  process.stdout.write(`${JSON.stringify(numbers)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}
for (const failure of failures) process.stderr.write(`${failure}\n\n`);
await endWith(failures.length === 0 ? 0 : 1);
