/** Where the way of a request is hit: at each message between the tenant's sending and its answer, and by whom. */
import { createHash } from 'node:crypto';

export const PHASES = ['deploy', 'wait', 'get', 'update'] as const;
export type Phase = (typeof PHASES)[number];
export const VICTIMS = ['relay', 'gateway', 'redis'] as const;
export type Victim = (typeof VICTIMS)[number];

export interface Hit {
  readonly phase: Phase;
  /** A message, and the how many-th of its kind. */
  readonly site: string;
  readonly victim: Victim;
}

/** Names messages in the order in which they pass. */
export class Sites {
  readonly #counts = new Map<string, number>();

  name(message: string): string {
    const count = (this.#counts.get(message) ?? 0) + 1;
    this.#counts.set(message, count);
    return `${message} #${count}`;
  }
}

/** Six hex digits, the same in every run. */
export function numberOf({ phase, site, victim }: Hit): string {
  return createHash('sha256').update([phase, site, victim].join('\n')).digest('hex').slice(0, 6);
}

export const say = (hit: Hit): string => `${numberOf(hit)} ${hit.phase} | ${hit.site} | ${hit.victim}`;

/** `count` of them, evenly. */
export function spread(hits: readonly Hit[], count: number): Hit[] {
  const most = Math.min(count, hits.length);
  return Array.from({ length: most }, (_, index) => hits[Math.floor((index * hits.length) / most)] as Hit);
}
