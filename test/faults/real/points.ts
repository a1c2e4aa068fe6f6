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
  return digest(phase, site, victim).slice(0, 6);
}

function digest(...words: string[]): string {
  return createHash('sha256').update(words.join('\n')).digest('hex');
}

const ACCEPTANCE = 'provision.CreateOrUpdate';

/** Names what one life's calls are, by what they are for: what the node does by its clocks is none of them. */
export class Sites {
  readonly #traces = new Set<string>();
  #phase: Phase = 'create';
  #counts = new Map<string, number>();

  /** The same call may come again in the next phase. */
  begin(phase: Phase): void {
    this.#phase = phase;
    this.#counts = new Map();
  }

  /** The site's name; undefined for what is nothing of a deployment's. */
  name({ call, moment, module, trace }: Passing): string | undefined {
    // Who waits for a deployment asks again and again.
    if (module === 'provision' && call !== ACCEPTANCE) return undefined;
    if (module !== 'provision' && ASKED[module] === undefined) return undefined;
    if (call === ACCEPTANCE) this.#traces.add(trace);
    const name = `${call} ${moment}`;
    const count = (this.#counts.get(name) ?? 0) + 1;
    // A cancellation comes from the chain without a request: it is read again there, as often as it takes.
    const isOfChain = this.#phase === 'delete' && module === 'api-gateway';
    if (isOfChain ? count > 1 : !this.#traces.has(trace)) return undefined;
    this.#counts.set(name, count);
    return `${name} #${count}`;
  }
}

/** Everything that can happen at these sites of one phase, by the sites' names: they come in no order of their own. */
export function hitsAt(phase: Phase, sites: readonly string[]): Hit[] {
  const bystanders = BYSTANDERS.filter((one) => one !== 'contract' || phase === 'create');
  return [...sites].sort().flatMap((site) => {
    const asked = ASKED[site.split('.')[0] ?? ''];
    // While the tenant waits for an answer, whoever is on its way matters.
    const isAcceptance = site.startsWith('provision.');
    const one = bystanders[Number.parseInt(digest(phase, site).slice(0, 8), 16) % bystanders.length];
    const victims = new Set(['provisiond', asked, 'redis', ...(isAcceptance ? bystanders : [one])] as const);
    return [...victims].filter((victim) => victim !== undefined).map((victim) => ({ phase, site, victim }));
  });
}

/** Those of these numbers, also where a bystander is hit at a site that is not its turn. */
export function numbered(hits: readonly Hit[], numbers: readonly string[]): Hit[] {
  const sites = new Map(hits.map(({ phase, site }) => [`${phase} ${site}`, { phase, site }]));
  const elsewhere = [...sites.values()].flatMap((one) => BYSTANDERS.map((victim) => ({ ...one, victim })));
  const found = new Map([...elsewhere, ...hits].map((hit) => [numberOf(hit), hit]));
  return numbers.map((number) => {
    const hit = found.get(number);
    if (hit === undefined) throw new Error(`there is no point ${number}; see --list`);
    return hit;
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
