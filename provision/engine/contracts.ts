/**
 * Makes cancellations and grace periods follow the chain. Events are hints: each is confirmed by a
 * read, and a comparison at start, at intervals and after a gap in their numbers finds what they missed. A
 * wrong answer of the chain must not empty the node, so a contract counts as gone
 * only after two reads of it alone, at two blocks, and only so many are given up in one run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractFacts, chain } from '../../modules/api-gateway/interface.ts';
import type { BusLog } from '../../modules/zbus/broker.ts';
import type { Client, StreamValue } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { type DeploymentId, type DeploymentRecord, deploymentId, type Journal } from '../store/journal.ts';
import { ownerOf } from '../store/quarantine.ts';
import type { Engine } from './engine.ts';

export interface ContractWatchLimits {
  /** Milliseconds between two comparisons with the chain. */
  readonly intervalMs: number;
  /** The same while more contracts are over than one comparison may give up, and those it gave up were confirmed. */
  readonly backlogMs: number;
  /** Milliseconds until a comparison that failed is made again. */
  readonly retryMs: number;
  /** Milliseconds between the two reads that confirm that a contract is gone; the second is of a later block. */
  readonly confirmDelayMs: number;
  /** Contracts that one comparison may give up. */
  readonly removalsPerRun: number;
  /** Milliseconds that a deployment whose contract went to another node stays here, paused. */
  readonly movedDelayMs: number;
  /** Milliseconds one read of the chain may take. */
  readonly readDeadlineMs: number;
}

export const CONTRACT_WATCH_LIMITS: ContractWatchLimits = {
  intervalMs: 300_000,
  backlogMs: 60_000,
  retryMs: 10_000,
  confirmDelayMs: 7_000,
  removalsPerRun: 10,
  movedDelayMs: 3_600_000,
  readDeadlineMs: 15_000,
};

type ContractEvent = StreamValue<typeof chain, 'Contracts'>;
export type ContractEvents = () => AsyncIterable<ContractEvent>;
type Facts = Infer<typeof ContractFacts>;

/** Contracts that are asked for at once. */
const BATCH = 250;
/** Missing contracts that one comparison asks for alone, for each that it may give up. */
const ASKED_FOR_EACH = 10;
const GRACE = 'the contract is in its grace period';
const OVER = 'the grace period of the contract is over';
const MOVED = 'the contract went to another node';

/** How a contract and what runs for it differ, where nothing is done about it. */
export interface Difference {
  readonly deployment: DeploymentId;
  /** `hash`: the chain has another version; `twin`: another twin pays; `rent`: another twin rents the node. */
  readonly kind: 'hash' | 'twin' | 'rent' | 'moved';
  readonly expected: string;
  readonly actual: string;
}

/** What the last whole comparison found. */
export interface Comparison {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The final block it began with. */
  readonly block: number;
  readonly held: number;
  /** Contracts that the chain seemed to miss. */
  readonly missing: number;
  readonly cancelled: number;
  /** Of the missing ones, those that the next comparison goes on with. */
  readonly left: number;
  readonly differences: readonly Difference[];
}

/** What a contract pays for; of one whose record is damaged nothing else is known. */
type Held = Pick<DeploymentRecord, 'id' | 'twin' | 'contract'> & { readonly hash?: string };

export interface ContractWatchOptions {
  readonly journal: Journal;
  readonly engine: Engine;
  readonly chain: Client<typeof chain>;
  readonly events: ContractEvents;
  /** Hears that something the chain told may not have been heard. */
  readonly onMissed?: () => void;
  readonly log: BusLog;
  readonly limits?: ContractWatchLimits;
}

export class ContractWatch {
  readonly #options: ContractWatchOptions;
  readonly #limits: ContractWatchLimits;
  /** Aborted when the next comparison is to be made at once. */
  #due = new AbortController();
  #last: Comparison | undefined;
  /** Differences that were told, so that each is told once. */
  #told = new Set<string>();
  /** When a contract was first seen at another node, by deployment: monotonic milliseconds. */
  readonly #movedSince = new Map<DeploymentId, number>();
  /** The block of the newest event about a grace period, by contract: an older answer says nothing of that. */
  readonly #graceTold = new Map<bigint, number>();

  constructor(options: ContractWatchOptions) {
    this.#options = options;
    this.#limits = options.limits ?? CONTRACT_WATCH_LIMITS;
  }

  /** Undefined until the chain could be compared once. */
  get last(): Comparison | undefined {
    return this.#last;
  }

  /** Follows the chain until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow(signal), this.#compareForEver(signal)]);
  }

  /**
   * A deployment was accepted: its contract is read once more, as what happened
   * to it between the check and the acceptance was told before there was a holder.
   */
  accepted(record: DeploymentRecord, signal: AbortSignal): void {
    this.#lookOnce(record, signal).catch(() => this.#due.abort());
  }

  async #lookOnce(record: Held, signal: AbortSignal): Promise<void> {
    const facts = await this.#read(record.contract, signal);
    if (isGone(facts)) this.#due.abort();
    else this.#follows(record, facts);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    let last = { Generation: 0, Sequence: 0 };
    while (!signal.aborted) {
      try {
        for await (const event of this.#options.events()) {
          // The bus or the process that reads the chain was away: what it told then is not told again.
          if (event.Generation !== last.Generation || event.Sequence !== last.Sequence + 1) this.#missed();
          last = event;
          this.#hear(event, signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.warn({ err: error }, 'stream of contract events ended, comparing with the chain');
      }
      this.#missed();
      await sleep(1_000, undefined, { signal }).catch(() => undefined);
    }
  }

  #missed(): void {
    this.#options.onMissed?.();
    this.#due.abort();
  }

  #hear({ Kind, ContractID, BlockNumber }: ContractEvent, signal: AbortSignal): void {
    const { engine, log, journal } = this.#options;
    if (Kind !== 'grace_started' && Kind !== 'grace_ended' && Kind !== 'cancelled') return;
    // By the contract alone: who pays for it may be another twin than whose deployment it is.
    const record = journal.holder(ContractID) ?? this.#damaged().find(({ contract }) => contract === ContractID);
    if (record === undefined) return;
    if (Kind !== 'cancelled') {
      const isGrace = Kind === 'grace_started';
      this.#graceTold.set(ContractID, BlockNumber);
      engine.pause(record.id, isGrace, isGrace ? GRACE : OVER);
      return;
    }
    this.#confirmEvent(record, signal).catch((error: unknown) => {
      if (signal.aborted) return;
      log.warn({ err: error, deployment: record.id }, 'event not confirmed, comparing with the chain');
      this.#due.abort();
    });
  }

  /** The read may still show the block before the event: it is asked again for a few blocks. */
  async #confirmEvent(record: Held, signal: AbortSignal): Promise<void> {
    const node = await this.#node(signal);
    const giveUpAt = performance.now() + 3 * this.#limits.confirmDelayMs;
    while (performance.now() < giveUpAt) {
      const facts = await this.#read(record.contract, signal);
      if (isGone(facts)) {
        this.#options.engine.cancel(record.id, 'contract canceled event received');
        return;
      }
      // It is told as an end here, and may be taken back: the comparison goes on with it.
      if (facts.NodeID !== node) {
        this.#moved(record, facts, []);
        return;
      }
      await sleep(500, undefined, { signal });
    }
    this.#options.log.warn({ deployment: record.id }, 'the chain still has a contract whose cancellation it told');
  }

  async #compareForEver(signal: AbortSignal): Promise<void> {
    const { intervalMs, backlogMs, retryMs } = this.#limits;
    while (!signal.aborted) {
      this.#due = new AbortController();
      const isDone = await this.#compareSafely(signal);
      const ended = AbortSignal.any([signal, this.#due.signal]);
      // Where none could be confirmed, asking sooner helps nobody.
      const isBehind = this.#last !== undefined && this.#last.cancelled > 0 && this.#last.left > 0;
      const pauseMs = isBehind ? Math.min(backlogMs, intervalMs) : intervalMs;
      if (isDone) await sleep(pauseMs, undefined, { signal: ended }).catch(() => undefined);
      else await sleep(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #compareSafely(signal: AbortSignal): Promise<boolean> {
    try {
      await this.compare(signal);
      return true;
    } catch (error) {
      if (!signal.aborted) this.#options.log.warn({ err: error }, 'could not compare deployments with the chain');
      return false;
    }
  }

  /**
   * Compares every deployment with its contract on final blocks, many in one question: pauses what is in its
   * grace period, cancels what the chain does not hold any more, tells of what else differs. Returns how many
   * deployments were cancelled.
   */
  async compare(signal: AbortSignal): Promise<number> {
    const { journal } = this.#options;
    // Read first: what is accepted while the chain answers is newer than the answer.
    const whole = journal.deployments().filter((record) => record.cancelled === undefined);
    const held: readonly Held[] = [...whole, ...this.#damaged()];
    this.#forgetAllBut(new Set(held.map(({ id }) => id)));
    const at = Date.now();
    if (held.length === 0) {
      this.#told.clear();
      this.#last = { at, block: 0, held: 0, missing: 0, cancelled: 0, left: 0, differences: [] };
      return 0;
    }
    const node = await this.#node(signal);
    const differences: Difference[] = [];
    const missing: Held[] = [];
    let block = 0;
    for (let begin = 0; begin < held.length; begin += BATCH) {
      const records = held.slice(begin, begin + BATCH);
      const facts = await this.#readMany(records, signal);
      block ||= facts[0]?.BlockNumber ?? 0;
      for (const [index, record] of records.entries()) {
        const one = facts[index];
        // Half an answer is none.
        if (one?.ContractID !== record.contract) throw new Error(`no answer for contract ${record.contract}`);
        if (isGone(one)) missing.push(record);
        else if (one.Kind === 'node' && one.NodeID !== node) {
          if (this.#moved(record, one, differences)) missing.push(record);
        } else {
          this.#movedSince.delete(record.id);
          this.#follows(record, one);
          differences.push(...differencesOf(record, one));
        }
      }
    }
    for (const [contract, told] of this.#graceTold) if (told <= block) this.#graceTold.delete(contract);
    this.#tell(differences);
    const { cancelled, left } = await this.#giveUp(missing, held.length, node, signal);
    this.#last = { at, block, held: held.length, missing: missing.length, cancelled, left, differences };
    return cancelled;
  }

  /** Set aside by the journal: what they hold stays until their contract is over. */
  #damaged(): Held[] {
    const { journal } = this.#options;
    const ids = new Set(journal.quarantined().map(({ deployment }) => deployment));
    return [...ids].flatMap((id) => {
      const owner = ownerOf(id);
      if (owner === undefined || deploymentId(owner.twin, owner.contract) !== id) return [];
      const isWhole = journal.deployment(id) !== undefined || journal.knows(owner.twin, owner.contract);
      return isWhole ? [] : [{ id, ...owner }];
    });
  }

  #forgetAllBut(held: ReadonlySet<DeploymentId>): void {
    for (const id of this.#movedSince.keys()) if (!held.has(id)) this.#movedSince.delete(id);
  }

  #follows(record: Held, facts: Facts): void {
    if (facts.BlockNumber < (this.#graceTold.get(record.contract) ?? 0)) return;
    const isGrace = facts.State === 'grace';
    this.#options.engine.pause(record.id, isGrace, isGrace ? GRACE : OVER);
  }

  /** Pauses at once; true once it has been away so long that what is here may go. */
  #moved(record: Held, facts: Facts, differences: Difference[]): boolean {
    const since = this.#movedSince.get(record.id) ?? performance.now();
    this.#movedSince.set(record.id, since);
    this.#options.engine.pause(record.id, true, MOVED);
    const actual = `node ${facts.NodeID}`;
    differences.push({ deployment: record.id, kind: 'moved', expected: 'this node', actual });
    return performance.now() - since >= this.#limits.movedDelayMs;
  }

  #tell(differences: readonly Difference[]): void {
    const told = new Set<string>();
    for (const difference of differences) {
      const key = JSON.stringify(difference);
      told.add(key);
      if (!this.#told.has(key)) this.#options.log.warn({ ...difference }, `contract differs: ${difference.kind}`);
    }
    this.#told = told;
  }

  /** Each is asked for alone, twice, with a block between; at most so many go in one run. */
  async #giveUp(
    missing: readonly Held[],
    held: number,
    node: number,
    signal: AbortSignal,
  ): Promise<Pick<Comparison, 'cancelled' | 'left'>> {
    const { log, engine } = this.#options;
    const { removalsPerRun, confirmDelayMs } = this.#limits;
    const suspects: { record: Held; block: number }[] = [];
    const asked = missing.slice(0, removalsPerRun * ASKED_FOR_EACH);
    for (const record of asked) {
      const facts = await this.#read(record.contract, signal);
      if (isElsewhere(facts, node)) suspects.push({ record, block: facts.BlockNumber });
    }
    if (suspects.length > removalsPerRun) {
      log.error(
        { missing: missing.length, held, limit: removalsPerRun },
        'the chain misses more contracts than one run may give up; is its answer right?',
      );
    }
    const left = missing.length - asked.length + Math.max(0, suspects.length - removalsPerRun);
    if (suspects.length === 0) return { cancelled: 0, left };
    await sleep(confirmDelayMs, undefined, { signal });
    let cancelled = 0;
    for (const { record, block } of suspects.slice(0, removalsPerRun)) {
      if (!(await this.#isGoneLater(record, block, node, signal))) continue;
      this.#movedSince.delete(record.id);
      if (engine.cancel(record.id, 'contract not active on chain')) cancelled += 1;
    }
    return { cancelled, left };
  }

  /** Whether a later block than that says so, too. A chain that stands still says nothing. */
  async #isGoneLater(record: Held, block: number, node: number, signal: AbortSignal): Promise<boolean> {
    const giveUpAt = performance.now() + 3 * this.#limits.confirmDelayMs;
    for (;;) {
      const facts = await this.#read(record.contract, signal);
      if (!isElsewhere(facts, node)) return false;
      if (facts.BlockNumber > block) return true;
      if (performance.now() >= giveUpAt) return false;
      await sleep(Math.min(1_000, this.#limits.confirmDelayMs), undefined, { signal });
    }
  }

  async #node(signal: AbortSignal): Promise<number> {
    return (await this.#options.chain.Node({}, { deadlineMs: this.#limits.readDeadlineMs, signal })).NodeID;
  }

  #read(contract: bigint, signal: AbortSignal): Promise<Facts> {
    return this.#options.chain.Contract({ id: contract }, { deadlineMs: this.#limits.readDeadlineMs, signal });
  }

  #readMany(records: readonly Held[], signal: AbortSignal): Promise<Facts[]> {
    const ids = records.map(({ contract }) => contract);
    const calling = { deadlineMs: this.#limits.readDeadlineMs, signal };
    return this.#options.chain.ContractBatch({ ids, mostAgeSeconds: 0 }, calling);
  }
}

function isGone(facts: Facts): boolean {
  return !facts.Found || facts.State === 'deleted';
}

function isElsewhere(facts: Facts, node: number): boolean {
  return isGone(facts) || (facts.Kind === 'node' && facts.NodeID !== node);
}

/** What a person should know and the node does nothing about: what was accepted runs on. */
function differencesOf({ id, twin, hash }: Held, facts: Facts): Difference[] {
  const found: Difference[] = [];
  const say = (kind: Difference['kind'], expected: string, actual: string): void => {
    found.push({ deployment: id, kind, expected, actual });
  };
  if (hash !== undefined && facts.DeploymentHash !== hash) say('hash', hash, facts.DeploymentHash);
  if (facts.TwinID !== twin) say('twin', `twin ${twin}`, `twin ${facts.TwinID}`);
  if (facts.RentedBy !== 0 && facts.RentedBy !== twin) say('rent', `twin ${twin}`, `twin ${facts.RentedBy}`);
  return found;
}
