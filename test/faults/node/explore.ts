/** Finds every point of every scenario by running it once, then runs it again with each of them hit. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Echo, type Fault, Faults, type Point } from './faults.ts';
import { Dead } from './life.ts';
import type { JournalKind } from './orchestrator.ts';
import { play, type Scenario, scenarios } from './scenarios.ts';
import { World } from './world.ts';

export interface Run {
  readonly scenario: Scenario;
  readonly point: Point;
  readonly echo?: Echo;
  readonly journal: JournalKind;
}

export interface Outcome {
  /** Runs in which the first point came by and was hit. */
  readonly hit: number;
  /** Points that did not come by this time: timing differs from run to run. */
  readonly missed: number;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
  readonly failures: readonly string[];
}

/** Most sites between two faults. */
const ECHO_SITES = 60;

/** Every point of every scenario, once. */
export async function enumerate(only?: string): Promise<Run[]> {
  const runs: Run[] = [];
  const folders = new Folders();
  for (const scenario of scenarios) {
    if (only !== undefined && scenario.name !== only) continue;
    const faults = new Faults();
    const world = new World(folders.next(), 'sqlite', faults);
    try {
      await play(scenario, world);
    } catch (cause) {
      throw new Error(`scenario '${scenario.name}' fails without any fault: ${(cause as Error).message}`, { cause });
    } finally {
      await world.close();
    }
    const points = faults.passed.filter(({ fault }) => !scenario.without?.includes(fault));
    for (const point of points) runs.push({ scenario, point, journal: 'sqlite' });
  }
  folders.remove();
  return runs;
}

/**
 * `count` of the runs, chosen by the seed, every other one on a journal in memory. More than there are:
 * the rest are hit twice.
 */
export function choose(all: readonly Run[], count: number, seed: number): Run[] {
  const random = randomNumbers(seed);
  const journals = ['sqlite', 'memory'] as const;
  const order = all.map((run) => ({ run, at: random() })).sort((a, b) => a.at - b.at);
  const chosen: Run[] = order
    .slice(0, count)
    .map(({ run }, index) => ({ ...run, journal: journals[index % journals.length] ?? 'sqlite' }));
  while (chosen.length < count) {
    const run = all[Math.floor(random() * all.length)];
    if (run === undefined) break;
    const echo = { sites: 1 + Math.floor(random() * ECHO_SITES), pick: Math.floor(random() * 60) };
    chosen.push({ ...run, echo, journal: journals[chosen.length % journals.length] ?? 'sqlite' });
  }
  return chosen;
}

/** Runs them, `sideBySide` at a time, until all are done, time is up or there are failures enough. */
export async function explore(
  runs: readonly Run[],
  { sideBySide, milliseconds, failuresMost }: { sideBySide: number; milliseconds: number; failuresMost: number },
): Promise<Outcome> {
  const folders = new Folders();
  const giveUpAt = performance.now() + milliseconds;
  const failures: string[] = [];
  const faults: Partial<Record<Fault, number>> = {};
  let hit = 0;
  let missed = 0;
  const unhandled = (error: unknown): void => {
    // A dead process has no rejections; a live one would end by them.
    if (!(error instanceof Dead)) failures.push(`a rejection nobody handles: ${(error as Error).stack}`);
  };
  process.on('unhandledRejection', unhandled);
  const queue = runs.values();
  const work = async (): Promise<void> => {
    for (const run of queue) {
      if (performance.now() > giveUpAt || failures.length >= failuresMost) return;
      const world = new World(folders.next(), run.journal, new Faults(run.point, run.echo));
      try {
        await play(run.scenario, world);
      } catch (error) {
        failures.push(`${commandOf(run)}\n${(error as Error).message}`);
      } finally {
        await world.close();
      }
      if (world.faults.hits.length === 0) missed += 1;
      else {
        hit += 1;
        faults[run.point.fault] = (faults[run.point.fault] ?? 0) + 1;
      }
    }
  };
  await Promise.all(Array.from({ length: sideBySide }, work));
  process.off('unhandledRejection', unhandled);
  folders.remove();
  return { hit, missed, faults, failures };
}

/** What runs one of them again. */
function commandOf({ scenario, point, echo, journal }: Run): string {
  const second = echo === undefined ? '' : ` --echo ${echo.sites}:${echo.pick}`;
  return `node test/faults/node/run.ts --scenario '${scenario.name}' --site '${point.site}' --fault ${point.fault}${second} --journal ${journal}`;
}

/** Folders of worlds, in memory where the machine has a place for that. */
class Folders {
  readonly #base = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'gn-faults-'));
  #made = 0;

  next(): string {
    this.#made += 1;
    return join(this.#base, `${this.#made}`);
  }

  remove(): void {
    rmSync(this.#base, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
