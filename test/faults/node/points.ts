/** Every point of every life, by number; the ones still to be hit, in the order in which phases come to them. */
import { createHash } from 'node:crypto';
import type { Echo, Fault, Point } from './faults.ts';

/** One hit: where, what, and what hits a second time after it. */
export interface Hit {
  readonly life: string;
  readonly phase: string;
  readonly point: Point;
  readonly echo?: Echo;
}

/** Eight hex digits, the same in every run. */
export function numberOf({ life, phase, point, echo }: Hit): string {
  const text = [life, phase, point.site, point.fault, ...(echo === undefined ? [] : [echo.sites, echo.fault])];
  return createHash('sha256').update(text.join('\n')).digest('hex').slice(0, 8);
}

/** Sites from the first of two deaths to the second, so that every distance is taken. */
const DISTANCES = 40;
const DEATHS: ReadonlySet<Fault> = new Set(['kill-provisiond', 'kill-server', 'power', 'kill-redis']);

/** Each hit that kills, followed by another death of the orchestrator while the first is being mended. */
export function doubled(hits: readonly Hit[]): Hit[] {
  return hits
    .filter(({ point }) => DEATHS.has(point.fault))
    .map((hit, index) => ({
      ...hit,
      echo: { sites: 1 + (index % DISTANCES), fault: index % 3 === 2 ? 'power' : 'kill-provisiond' },
    }));
}

/** A part of them for each of so many processes. */
export function shareOf(hits: readonly Hit[], share: number, shares: number): Hit[] {
  return hits.filter((_, index) => index % shares === share);
}

/** `count` of them, evenly from all. */
export function spread(hits: readonly Hit[], count: number): Hit[] {
  if (count >= hits.length) return [...hits];
  return Array.from({ length: count }, (_, index) => hits[Math.floor((index * hits.length) / count)] as Hit);
}

const TRIES = 2;

/** What is still to be hit. */
export class Agenda {
  readonly #queues = new Map<string, { readonly hit: Hit; readonly tries: number }[]>();
  #left = 0;

  constructor(hits: readonly Hit[]) {
    for (const hit of hits) this.#add(hit, 0);
  }

  get left(): number {
    return this.#left;
  }

  /** Whether something of that phase of a life is to be hit. */
  has(life: string, phase: string): boolean {
    return (this.#queues.get(`${life}\n${phase}`)?.length ?? 0) > 0;
  }

  take(life: string, phase: string): { readonly hit: Hit; readonly missed: () => boolean } | undefined {
    const taken = this.#queues.get(`${life}\n${phase}`)?.shift();
    if (taken === undefined) return undefined;
    this.#left -= 1;
    const { hit, tries } = taken;
    return {
      hit,
      // Timing differs from run to run: it may come by the next time. True when it is given up.
      missed: () => {
        if (tries + 1 >= TRIES) return true;
        this.#add(hit, tries + 1);
        return false;
      },
    };
  }

  #add(hit: Hit, tries: number): void {
    const key = `${hit.life}\n${hit.phase}`;
    const queue = this.#queues.get(key) ?? [];
    queue.push({ hit, tries });
    this.#queues.set(key, queue);
    this.#left += 1;
  }
}
