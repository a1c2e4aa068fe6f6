/**
 * Makes cancellations and grace periods follow the chain. Events are hints: each is confirmed by a
 * read, and a comparison at start, at intervals and after a gap in their numbers finds what they missed. A
 * wrong answer of the chain must not empty the node, so a contract counts as gone
 * only after two separate reads, and only so many are given up in one run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractFacts, chain } from '../../modules/api-gateway/interface.ts';
import type { BusLog } from '../../modules/zbus/broker.ts';
import type { Client, StreamValue } from '../../modules/zbus/definition.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import type { DeploymentRecord, Journal } from '../store/journal.ts';
import type { Engine } from './engine.ts';

export interface ContractWatchLimits {
  /** Milliseconds between two comparisons with the chain. */
  readonly intervalMs: number;
  /** Milliseconds until a comparison that failed is made again. */
  readonly retryMs: number;
  /** Milliseconds between the two reads that confirm that a contract is gone; at least a block. */
  readonly confirmDelayMs: number;
  /** Contracts that one comparison may give up. */
  readonly removalsPerRun: number;
  /** Milliseconds one read of the chain may take. */
  readonly readDeadlineMs: number;
}

export const CONTRACT_WATCH_LIMITS: ContractWatchLimits = {
  intervalMs: 300_000,
  retryMs: 10_000,
  confirmDelayMs: 7_000,
  removalsPerRun: 10,
  readDeadlineMs: 15_000,
};

type ContractEvent = StreamValue<typeof chain, 'Contracts'>;
export type ContractEvents = () => AsyncIterable<ContractEvent>;

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

  constructor(options: ContractWatchOptions) {
    this.#options = options;
    this.#limits = options.limits ?? CONTRACT_WATCH_LIMITS;
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

  async #lookOnce({ id, contract }: DeploymentRecord, signal: AbortSignal): Promise<void> {
    const facts = await this.#read(contract, signal);
    if (isGone(facts)) this.#due.abort();
    else this.#options.engine.pause(id, facts.State === 'grace');
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

  #hear({ Kind, ContractID }: ContractEvent, signal: AbortSignal): void {
    const { engine, log } = this.#options;
    const record = this.#holder(ContractID);
    if (record === undefined) return;
    if (Kind === 'grace_started') engine.pause(record.id, true);
    if (Kind === 'grace_ended') engine.pause(record.id, false);
    if (Kind !== 'cancelled') return;
    this.#confirmEvent(record, signal).catch((error: unknown) => {
      if (signal.aborted) return;
      log.warn({ err: error, deployment: record.id }, 'event not confirmed, comparing with the chain');
      this.#due.abort();
    });
  }

  /** The read may still show the block before the event: it is asked again for a few blocks. */
  async #confirmEvent(record: DeploymentRecord, signal: AbortSignal): Promise<void> {
    const giveUpAt = performance.now() + 3 * this.#limits.confirmDelayMs;
    while (performance.now() < giveUpAt) {
      if (isGone(await this.#read(record.contract, signal))) {
        this.#options.engine.cancel(record.id, 'contract canceled event received');
        return;
      }
      await sleep(500, undefined, { signal });
    }
    this.#options.log.warn({ deployment: record.id }, 'the chain still has a contract whose cancellation it told');
  }

  async #compareForEver(signal: AbortSignal): Promise<void> {
    const { intervalMs, retryMs } = this.#limits;
    while (!signal.aborted) {
      this.#due = new AbortController();
      const isDone = await this.#compareSafely(signal);
      const ended = AbortSignal.any([signal, this.#due.signal]);
      if (isDone) await sleep(intervalMs, undefined, { signal: ended }).catch(() => undefined);
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

  /** Pauses what is in its grace period, cancels what the chain does not hold any more. Returns how many deployments that were. */
  async compare(signal: AbortSignal): Promise<number> {
    const { journal, chain: client, log, engine } = this.#options;
    // Read first: what is accepted while the chain answers is newer than the answer.
    const held = journal.deployments().filter((record) => record.cancelled === undefined);
    if (held.length === 0) return 0;
    const calling = { deadlineMs: this.#limits.readDeadlineMs, signal };
    const active = new Set(await client.ActiveContracts({}, calling));
    for (const { id, contract } of held.filter((record) => active.has(record.contract))) {
      const facts = await this.#read(contract, signal);
      if (!isGone(facts)) engine.pause(id, facts.State === 'grace');
    }
    const missing = held.filter((record) => !active.has(record.contract));
    if (missing.length > this.#limits.removalsPerRun) {
      log.error(
        { missing: missing.length, held: held.length, limit: this.#limits.removalsPerRun },
        'the chain misses more contracts than one run may give up; is its answer right?',
      );
    }
    const suspects: DeploymentRecord[] = [];
    for (const record of missing.slice(0, this.#limits.removalsPerRun)) {
      if (isGone(await this.#read(record.contract, signal))) suspects.push(record);
    }
    if (suspects.length === 0) return 0;
    await sleep(this.#limits.confirmDelayMs, undefined, { signal });
    let cancelled = 0;
    for (const record of suspects) {
      if (!isGone(await this.#read(record.contract, signal))) continue;
      if (engine.cancel(record.id, 'contract not active on chain')) cancelled += 1;
    }
    return cancelled;
  }

  #read(contract: bigint, signal: AbortSignal): Promise<Infer<typeof ContractFacts>> {
    return this.#options.chain.Contract({ id: contract }, { deadlineMs: this.#limits.readDeadlineMs, signal });
  }

  #holder(contract: bigint): DeploymentRecord | undefined {
    return this.#options.journal
      .deployments()
      .find((record) => record.contract === contract && record.cancelled === undefined);
  }
}

function isGone(facts: Infer<typeof ContractFacts>): boolean {
  return !facts.Found || facts.State === 'deleted';
}
