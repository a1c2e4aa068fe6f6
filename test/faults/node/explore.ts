/** Finds every point of every life by living it once, then lives it again and again with each of them hit. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { byClock } from './clock.ts';
import { type Fault, Faults } from './faults.ts';
import { Dead } from './life.ts';
import { end, type Life, lives, type Phase } from './lives.ts';
import type { JournalKind } from './orchestrator.ts';
import { Agenda, type Hit, numberOf } from './points.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly hit: number;
  /** Points that did not come by, twice: timing differs from run to run. */
  readonly missed: number;
  /** Not tried when time was up. */
  readonly left: number;
  readonly lived: number;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
  readonly failures: readonly string[];
}

/** Every point of every life, once. Throws where a life fails without any fault. */
export function enumerate(only?: string): Promise<Hit[]> {
  return amongTheDead(
    () => livedOnce(only),
    (error) => {
      throw error;
    },
  );
}

async function livedOnce(only: string | undefined): Promise<Hit[]> {
  const hits: Hit[] = [];
  const folders = new Folders();
  for (const life of lives) {
    if (only !== undefined && life.name !== only) continue;
    const faults = new Faults();
    const world = new World(folders.next(), 'sqlite', faults);
    try {
      for (const phase of life.phases) {
        if (phase.isQuiet !== true) faults.watch();
        await byClock(world.clock, () => phase.run(world));
        faults.disarm();
        for (const point of faults.passed.splice(0)) {
          if (!phase.without?.includes(point.fault)) hits.push({ life: life.name, phase: phase.name, point });
        }
      }
    } catch (cause) {
      throw new Error(`'${life.name}' fails without any fault: ${(cause as Error).message}`, { cause });
    } finally {
      await world.close();
    }
  }
  folders.remove();
  return hits;
}

export interface Exploring {
  readonly journal: JournalKind | 'both';
  readonly sideBySide: number;
  readonly milliseconds: number;
  readonly failuresMost: number;
}

/** Hits them all, until time is up or there are failures enough. */
export async function explore(hits: readonly Hit[], options: Exploring): Promise<Outcome> {
  const explorer = new Explorer(hits, options);
  await amongTheDead(
    () => Promise.all(Array.from({ length: options.sideBySide }, () => explorer.work())),
    (error) => explorer.failures.push(`a rejection nobody handles: ${error.stack}`),
  );
  return explorer.end();
}

/** Runs `work` while code of dead processes, which here runs on to its next touch of the outside, meets its end. */
export async function amongTheDead<T>(work: () => Promise<T>, unhandled: (error: Error) => void): Promise<T> {
  const meet = (error: unknown): void => {
    // A dead process has no rejections; a live one would end by them.
    if (!(error instanceof Dead)) unhandled(error as Error);
  };
  process.on('unhandledRejection', meet);
  process.on('uncaughtException', meet);
  try {
    return await work();
  } finally {
    process.off('unhandledRejection', meet);
    process.off('uncaughtException', meet);
  }
}

class Explorer {
  readonly failures: string[] = [];
  readonly #agenda: Agenda;
  readonly #options: Exploring;
  readonly #folders = new Folders();
  readonly #faults: Partial<Record<Fault, number>> = {};
  readonly #giveUpAt: number;
  #hit = 0;
  #missed = 0;
  #lived = 0;

  constructor(hits: readonly Hit[], options: Exploring) {
    this.#agenda = new Agenda(hits);
    this.#options = options;
    this.#giveUpAt = performance.now() + options.milliseconds;
  }

  async work(): Promise<void> {
    while (performance.now() < this.#giveUpAt && this.failures.length < this.#options.failuresMost) {
      const life = lives.find(({ name, phases }) => phases.some((phase) => this.#agenda.has(name, phase.name)));
      if (life === undefined) return;
      await this.#live(life);
    }
  }

  end(): Outcome {
    this.#folders.remove();
    return {
      ...{ hit: this.#hit, missed: this.#missed, left: this.#agenda.left, lived: this.#lived },
      ...{ faults: this.#faults, failures: this.failures },
    };
  }

  async #live(life: Life): Promise<void> {
    const { journal } = this.#options;
    this.#lived += 1;
    const kind = journal === 'both' ? (this.#lived % 2 === 0 ? 'memory' : 'sqlite') : journal;
    const world = new World(this.#folders.next(), kind, new Faults());
    const hits: Hit[] = [];
    try {
      await byClock(world.clock, () => this.#phases(life, world, hits));
    } catch (error) {
      this.failures.push(`${commandOf(life, hits, kind)}\n${(error as Error).message}`);
    } finally {
      await world.close();
    }
  }

  /** Each phase with its next point hit; ends early when nothing is left to be hit, or to live on with. */
  async #phases(life: Life, world: World, hits: Hit[]): Promise<void> {
    for (const [index, phase] of life.phases.entries()) {
      if (!this.#isWanted(life, index)) break;
      if (phase.isOptional && !this.#agenda.has(life.name, phase.name)) continue;
      await this.#phase(life, phase, world, hits);
      if (world.broken.length > 0) throw new Error(world.broken.join('\n'));
      // What the host refused is not there any more, what was cancelled neither.
      if (world.faults.hits.some((hit) => /^(refused|no-space|cancel)/.test(hit))) break;
    }
    await end(world);
  }

  #isWanted({ name, phases }: Life, from: number): boolean {
    return phases.slice(from).some((phase) => this.#agenda.has(name, phase.name));
  }

  async #phase(life: Life, phase: Phase, world: World, hits: Hit[]): Promise<void> {
    const taken = phase.isQuiet ? undefined : this.#agenda.take(life.name, phase.name);
    if (taken === undefined) {
      await phase.run(world);
      return;
    }
    const { hit, missed } = taken;
    const before = world.faults.hits.length;
    hits.push(hit);
    world.faults.arm(hit.point, hit.echo);
    await phase.run(world);
    world.faults.disarm();
    if (world.faults.hits.length > before) {
      this.#hit += 1;
      this.#faults[hit.point.fault] = (this.#faults[hit.point.fault] ?? 0) + 1;
    } else if (missed()) this.#missed += 1;
  }
}

/** What runs it again. */
function commandOf({ name }: Life, hits: readonly Hit[], journal: JournalKind): string {
  const words = hits.map(({ phase, point, echo }) =>
    [phase, point.site, point.fault, ...(echo === undefined ? [] : [echo.sites, echo.fault])].join(' | '),
  );
  const last = hits.at(-1);
  const number = last === undefined ? '' : `point ${numberOf(last)}: `;
  const quoted = words.map((word) => ` --hit '${word}'`).join('');
  return `${number}node test/faults/node/run.ts --journal ${journal} --life '${name}'${quoted}`;
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
