/** Where a real node is hit while one deployment comes, changes and goes, and by what. */
import { createHash } from 'node:crypto';
import type { Passing } from './tap.ts';

export type Phase = 'create' | 'update' | 'delete';
export const PHASES: readonly Phase[] = ['create', 'update', 'delete'];

/** A unit that is killed, or what is done to several. */
export type Victim =
  | 'provisiond'
  | 'storaged'
  | 'networkd'
  | 'flistd'
  | 'vmd'
  | 'noded'
  | 'redis'
  | 'chain'
  | 'chaind'
  | 'relay'
  | 'gateway'
  /** Every unit at once. */
  | 'everything'
  /** The broker is emptied. */
  | 'flush'
  /** The contract ends while provisiond is dead. */
  | 'contract';

export interface Hit {
  readonly phase: Phase;
  readonly site: string;
  readonly victim: Victim;
}

const ASKED: Readonly<Record<string, Victim>> = {
  storage: 'storaged',
  network: 'networkd',
  flist: 'flistd',
  vmd: 'vmd',
  'api-gateway': 'chaind',
};
/** Each at some sites only: what they do has little to do with which call is under way. */
const BYSTANDERS: readonly Victim[] = [
  'relay',
  'everything',
  'gateway',
  'flush',
  'chain',
  'contract',
  'noded',
  'chaind',
];

/** Six hex digits, the same in every run. */
export function numberOf({ phase, site, victim }: Hit): string {
  return createHash('sha256').update([phase, site, victim].join('\n')).digest('hex').slice(0, 6);
}

/** The same call comes several times. */
export class Sites {
  readonly #counts = new Map<string, number>();

  /** The site's name; undefined for what is nothing of a deployment's. */
  name({ call, moment, module }: Passing): string | undefined {
    // Who waits for a deployment asks again and again.
    if (module === 'provision' && call !== 'provision.CreateOrUpdate') return undefined;
    if (module !== 'provision' && ASKED[module] === undefined) return undefined;
    const name = `${call} ${moment}`;
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return `${name} #${count}`;
  }
}

/** Everything that can happen at these sites of one phase. */
export function hitsAt(phase: Phase, sites: readonly string[]): Hit[] {
  return sites.flatMap((site, index) => {
    const asked = ASKED[site.split('.')[0] ?? ''];
    // While the tenant waits for an answer, whoever is on its way matters.
    const isAcceptance = site.startsWith('provision.');
    const bystanders = isAcceptance ? BYSTANDERS : [BYSTANDERS[index % BYSTANDERS.length]];
    const victims: readonly (Victim | undefined)[] = ['provisiond', asked, 'redis', ...bystanders];
    const wanted = victims.filter(
      (one, at): one is Victim =>
        one !== undefined && victims.indexOf(one) === at && !(one === 'contract' && phase !== 'create'),
    );
    return wanted.map((victim) => ({ phase, site, victim }));
  });
}

/**
 * `count` of them, as many of each phase, always the same ones: each victim's first by number, which has to do
 * with nothing else, then each one's second, and so on.
 */
export function spread(hits: readonly Hit[], count: number): Hit[] {
  const each = Math.ceil(count / PHASES.length);
  return PHASES.flatMap((phase, shift) => {
    const ofPhase = hits.filter((one) => one.phase === phase).sort((a, b) => (numberOf(a) < numberOf(b) ? -1 : 1));
    const victims = [...new Set(ofPhase.map(({ victim }) => victim))].sort();
    // Another victim is first in each phase, so that few points still have all of them.
    const order = victims.map((_, index) => victims[(index + shift * each) % victims.length] as Victim);
    const rounds = order.map((victim) => ofPhase.filter((one) => one.victim === victim));
    const longest = Math.max(0, ...rounds.map((round) => round.length));
    const mixed = Array.from({ length: longest }, (_, at) => rounds.flatMap((round) => round.slice(at, at + 1))).flat();
    return mixed.slice(0, each);
  });
}
