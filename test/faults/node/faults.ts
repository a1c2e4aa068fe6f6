/** Where a node can be hit, counted as it passes there, and what hits it. */

export type Fault =
  /** The process is gone at once with all it held in memory; a new one starts on what is on disk. */
  | 'kill-provisiond'
  /** The same of the daemon that is asked, or acts. */
  | 'kill-server'
  /** The same of the daemon that asks. */
  | 'kill-caller'
  /** Everything is gone at once, and with it what only a kernel knows: machines, mounts, interfaces. */
  | 'power'
  /** Every connection to the bus ends: who waits for an answer does not get it, events are lost. */
  | 'bus-lost'
  /** The call does not arrive, and its caller is told that it can not be known. */
  | 'call-lost'
  /** The call ran, and its caller is told that it can not be known. */
  | 'answer-lost'
  /** The caller's deadline passes in the midst of the call, which goes on behind its back. */
  | 'late'
  /** The host refuses the change. */
  | 'refused'
  /** The journal's disk is full for a moment. */
  | 'full'
  /** The tenant cancels the contract. */
  | 'cancel'
  /** The contract's grace period begins, and ends some milliseconds later. */
  | 'grace';

/** A moment in which the orchestrator, or a daemon for it, touches something outside itself. */
export interface Site {
  readonly name: string;
  readonly faults: readonly Fault[];
  /** Module that is asked or acts, and the one that asks. */
  readonly server?: string;
  readonly caller?: string;
}

export interface Point {
  readonly site: string;
  readonly fault: Fault;
}

/** A second fault: so many sites after the first, the one of those possible there that the number picks. */
export interface Echo {
  readonly sites: number;
  readonly pick: number;
}

export class Faults {
  /** Points that were passed while armed, in order. */
  readonly passed: Point[] = [];
  /** What was hit, in words. */
  readonly hits: string[] = [];
  isArmed = false;
  /** Carries out faults that are no matter of the one who passes. */
  strike: (fault: Fault, site: Site) => void = () => {};
  readonly #counts = new Map<string, number>();
  readonly #point: Point | undefined;
  readonly #echo: Echo | undefined;
  #left: number | undefined;

  constructor(point?: Point, echo?: Echo) {
    this.#point = point;
    this.#echo = echo;
  }

  /** Passes a site; what is returned happens to the one who passes. */
  at(site: Site): Fault | undefined {
    if (!this.isArmed) return undefined;
    const count = (this.#counts.get(site.name) ?? 0) + 1;
    this.#counts.set(site.name, count);
    const name = `${site.name} #${count}`;
    if (this.#point === undefined) {
      for (const fault of site.faults) this.passed.push({ site: name, fault });
      return undefined;
    }
    const fault = this.#due(name, site);
    if (fault === undefined) return undefined;
    this.hits.push(`${fault} at ${name}`);
    this.strike(fault, site);
    return fault;
  }

  #due(name: string, { faults }: Site): Fault | undefined {
    if (this.#left !== undefined) {
      this.#left -= 1;
      return this.#left === 0 ? faults[(this.#echo?.pick ?? 0) % faults.length] : undefined;
    }
    if (this.#point?.site !== name) return undefined;
    this.#left = this.#echo === undefined ? Number.POSITIVE_INFINITY : this.#echo.sites;
    return this.#point.fault;
  }
}
