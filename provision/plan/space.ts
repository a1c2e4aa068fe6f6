/**
 * Space of the pools that accepted deployments hold, by pool and by storaged's names. A reservation
 * names the pool the plan chose; storaged chooses in the end, and from the first reading that shows
 * a thing on it counts where it is.
 */
import type { PlacedAllocation } from './capacity.ts';
import type { PoolSums } from './holdings.ts';

interface Part {
  readonly bytes: number;
  readonly state: 'committed' | 'pending';
  /** storaged surely has it. */
  readonly stands: boolean;
}

/** One thing of storaged's. While it is being changed it is held in two parts. */
interface Thing {
  /** Where it is counted. */
  pool: string;
  /** A reading has shown it there. */
  isSeen: boolean;
  readonly parts: Part[];
}

interface PoolBook {
  committed: number;
  pending: number;
  /** Of `committed`: what stands. */
  standing: number;
  /** Everything that ever stopped standing. */
  stopped: number;
}

interface Held {
  readonly pool: string;
  readonly bytes: number;
  readonly standing: number;
}

/** A moment to compare a later one with. */
export type SpaceMark = ReadonlyMap<string, { readonly standing: number; readonly stopped: number }>;

/** The most that each name was held for since a moment, names that are held no more among them. */
export interface SpaceWatch {
  readonly bytesOf: (resource: string) => number;
  readonly stop: () => void;
}

const EMPTY: PoolBook = { committed: 0, pending: 0, standing: 0, stopped: 0 };

export class SpaceBook {
  readonly #pools = new Map<string, PoolBook>();
  readonly #things = new Map<string, Thing>();
  readonly #watches = new Set<Map<string, number>>();
  /** What was held of the things of a change before it. */
  readonly #touched = new Map<string, Held>();
  #unseen = 0;

  pool(name: string): PoolSums {
    return this.#pools.get(name) ?? EMPTY;
  }

  /** The pool in which it counts; `undefined` for what nobody holds. */
  placeOf(resource: string): string | undefined {
    return this.#things.get(resource)?.pool;
  }

  /** Bytes for which it is held. */
  bytesOf(resource: string): number {
    return heldOf(this.#things.get(resource)).bytes;
  }

  /** Whether readings have shown where everything is. */
  get isPlaced(): boolean {
    return this.#unseen === 0;
  }

  /** Whether everything that is held in the pool stands, as at `mark` and ever since. */
  isSettled(mark: SpaceMark, pool: string): boolean {
    const { committed, pending, standing, stopped } = this.#pools.get(pool) ?? EMPTY;
    const then = mark.get(pool) ?? EMPTY;
    return pending === 0 && standing === committed && standing === then.standing && stopped === then.stopped;
  }

  /** Counts a part in or out. A change ends with `settle`, so that a part can take another's place. */
  count({ resource, pool, bytes }: PlacedAllocation, state: Part['state'], stands: boolean, sign: 1 | -1): void {
    const thing = this.#thing(resource, pool);
    if (!this.#touched.has(resource)) this.#touched.set(resource, heldOf(thing));
    const part = { bytes, state, stands: stands && state === 'committed' };
    if (sign === 1) {
      thing.parts.push(part);
    } else {
      const at = thing.parts.findIndex((one) => isSame(one, part));
      if (at < 0) throw new Error(`the ledger does not know ${bytes} bytes of '${resource}'`);
      thing.parts.splice(at, 1);
    }
    add(this.#book(thing.pool), part, sign);
  }

  /** Ends a change: what nobody holds any more is forgotten. */
  settle(): void {
    for (const [resource, before] of this.#touched) {
      const thing = this.#things.get(resource);
      const after = heldOf(thing);
      this.#book(before.pool).stopped += Math.max(0, before.standing - after.standing);
      for (const watched of this.#watches) {
        watched.set(resource, Math.max(watched.get(resource) ?? 0, before.bytes));
      }
      if (thing?.parts.length !== 0) continue;
      this.#things.delete(resource);
      if (!thing.isSeen) this.#unseen -= 1;
    }
    this.#touched.clear();
  }

  /** storaged has shown the pool of a thing; what nobody holds is passed over. */
  place(resource: string, pool: string): void {
    const thing = this.#things.get(resource);
    if (thing === undefined || pool === '') return;
    if (!thing.isSeen) this.#unseen -= 1;
    thing.isSeen = true;
    if (thing.pool === pool) return;
    const from = this.#book(thing.pool);
    from.stopped += heldOf(thing).standing;
    for (const part of thing.parts) {
      add(from, part, -1);
      add(this.#book(pool), part, 1);
    }
    thing.pool = pool;
  }

  mark(): SpaceMark {
    return new Map([...this.#pools].map(([name, { standing, stopped }]) => [name, { standing, stopped }]));
  }

  /** Bytes of the pool that stood at `mark` and ever since: storaged had no less of ours at any moment between. */
  stoodSince(mark: SpaceMark, pool: string): number {
    const then = mark.get(pool);
    if (then === undefined) return 0;
    return Math.max(0, then.standing - ((this.#pools.get(pool)?.stopped ?? 0) - then.stopped));
  }

  /** Follows what is held from now on until `stop`. */
  watch(): SpaceWatch {
    const watched = new Map<string, number>();
    this.#watches.add(watched);
    return {
      bytesOf: (resource) => Math.max(watched.get(resource) ?? 0, this.bytesOf(resource)),
      stop: () => void this.#watches.delete(watched),
    };
  }

  #thing(resource: string, pool: string): Thing {
    const found = this.#things.get(resource);
    if (found !== undefined) return found;
    const thing: Thing = { pool, isSeen: false, parts: [] };
    this.#things.set(resource, thing);
    this.#unseen += 1;
    return thing;
  }

  #book(pool: string): PoolBook {
    const found = this.#pools.get(pool);
    if (found !== undefined) return found;
    const book: PoolBook = { committed: 0, pending: 0, standing: 0, stopped: 0 };
    this.#pools.set(pool, book);
    return book;
  }
}

function heldOf(thing: Thing | undefined): Held {
  let [bytes, standing] = [0, 0];
  for (const part of thing?.parts ?? []) {
    bytes += part.bytes;
    if (part.stands) standing += part.bytes;
  }
  return { pool: thing?.pool ?? '', bytes, standing };
}

function isSame(one: Part, other: Part): boolean {
  return one.bytes === other.bytes && one.state === other.state && one.stands === other.stands;
}

function add(book: PoolBook, { bytes, state, stands }: Part, sign: 1 | -1): void {
  book[state] += sign * bytes;
  if (stands) book.standing += sign * bytes;
}
