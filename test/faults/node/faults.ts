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
  /** The broker's process is gone with all that waited in it, and every connection with it. */
  | 'kill-redis'
  /** Every connection to the bus ends: who waits for an answer does not get it, events are lost. */
  | 'bus-lost'
  /** The call does not arrive, and its caller is told that it can not be known. */
  | 'call-lost'
  /** The call ran, and its caller is told that it can not be known. */
  | 'answer-lost'
  /** The call runs, and once it has runs again before its answer leaves. */
  | 'twice'
  /** The daemon takes the call and says nothing until the caller's deadline has passed; it never runs. */
  | 'hang'
  /** The caller's deadline passes in the midst of the call, which goes on behind its back. */
  | 'late'
  /** The host refuses the change. */
  | 'refused'
  /** The host has no room for the change at that moment. */
  | 'no-space'
  /** The journal's disk is full for a moment. */
  | 'full'
  /** The host's clock jumps. */
  | 'hour-back'
  | 'day-forward'
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

/** A second hit: so many sites after the first. */
export interface Echo {
  readonly sites: number;
  readonly fault: Fault;
}

export class Faults {
  /** Points that were passed while watched, in order. */
  passed: Point[] = [];
  /** What was hit, in words. */
  readonly hits: string[] = [];
  /** Carries out faults that are no matter of the one who passes. */
  strike: (fault: Fault, site: Site) => void = () => {};
  readonly #counts = new Map<string, number>();
  #mode: 'off' | 'watching' | 'armed' = 'off';
  #point: Point | undefined;
  #echo: Echo | undefined;
  #left: number | undefined;

  /** Notes every point from now on, and hits none. */
  watch(): void {
    this.#begin('watching');
  }

  /** Hits that point when it comes by, and another one after it. */
  arm(point: Point, echo?: Echo): void {
    this.#begin('armed');
    this.#point = point;
    this.#echo = echo;
  }

  disarm(): void {
    this.#mode = 'off';
  }

  /** Passes a site; what is returned happens to the one who passes. */
  at(site: Site): Fault | undefined {
    if (this.#mode === 'off') return undefined;
    const count = (this.#counts.get(site.name) ?? 0) + 1;
    this.#counts.set(site.name, count);
    const name = `${site.name} #${count}`;
    if (this.#mode === 'watching') {
      for (const fault of site.faults) this.passed.push({ site: name, fault });
      return undefined;
    }
    const fault = this.#due(name, site);
    if (fault === undefined) return undefined;
    this.hits.push(`${fault} at ${name}`);
    this.strike(fault, site);
    return fault;
  }

  #begin(mode: 'watching' | 'armed'): void {
    this.#mode = mode;
    this.#counts.clear();
    this.#left = undefined;
    this.passed = [];
  }

  #due(name: string, { faults }: Site): Fault | undefined {
    if (this.#left !== undefined) {
      this.#left -= 1;
      // Where the second is not possible it happens at the next place at which it is.
      if (this.#left > 0 || this.#echo === undefined || !faults.includes(this.#echo.fault)) return undefined;
      const { fault } = this.#echo;
      this.#echo = undefined;
      return fault;
    }
    if (this.#point?.site !== name) return undefined;
    this.#left = this.#echo?.sites ?? 0;
    return this.#point.fault;
  }
}
