/** Worlds in which the journal is damaged, one damage each, some side by side. */
import { join } from 'node:path';
import { byClock } from './clock.ts';
import { type Damage, damagesOf, dieWith, expectWorksOn } from './damage.ts';
import { amongTheDead } from './explore.ts';
import { Faults } from './faults.ts';
import { World } from './world.ts';

const SIDE_BY_SIDE = 6;
const DEADLINE_MS = 30_000;

export interface Tried {
  readonly tried: number;
  readonly failures: readonly string[];
}

/** Tries the wanted ones, `most` of them evenly. */
export async function tryAll(
  folder: string,
  isWanted: (damage: Damage) => boolean,
  most = Number.POSITIVE_INFINITY,
): Promise<Tried> {
  const failures: string[] = [];
  let made = 0;
  const inWorld = async <T>(work: (world: World) => Promise<T>): Promise<T> => {
    made += 1;
    const world = new World(join(folder, `${made}`), 'sqlite', new Faults());
    try {
      return await byClock(world.clock, () => work(world));
    } finally {
      await world.close();
    }
  };
  let all: Damage[] = [];
  const chosen = (): Damage[] => {
    const count = Math.min(most, all.length);
    return Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)] as Damage);
  };
  return amongTheDead(
    async () => {
      await inWorld((world) =>
        dieWith(world, (path) => {
          all = damagesOf(path).filter(isWanted);
        }),
      );
      const damages = chosen();
      const queue = damages.values();
      const work = async (): Promise<void> => {
        for (const damage of queue) {
          await inWorld(async (world) => expectWorksOn(world, await dieWith(world, damage.make), DEADLINE_MS)).catch(
            (error: Error) => failures.push(`${damage.name}: ${error.message}`),
          );
        }
      };
      await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
      return { tried: damages.length, failures };
    },
    (error) => failures.push(`nobody handles: ${error.stack}`),
  );
}
