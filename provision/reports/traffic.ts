/**
 * Tells the chain each contract's public traffic, every byte once. Docs: docs/decisions/0015-traffic-is-told-once.
 * One transaction at a time, whose reports are noted before it is sent, and whose end is read from final blocks:
 * the chain keeps the timestamp of a contract's newest report.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { type chain, TRAFFIC_LIFE_BLOCKS } from '../../modules/api-gateway/interface.ts';
import type { BusLog } from '../../modules/zbus/broker.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import type { DeploymentId } from '../store/journal.ts';
import type { Meter } from './meter.ts';
import type { ReportNumbers } from './numbers.ts';
import { isUnrun, refusalOf } from './refusal.ts';
import type { Attempt, Fate, TrafficReport, TrafficTable } from './traffic-table.ts';

export interface TrafficLimits {
  /** Milliseconds between two samples. */
  readonly sampleMs: number;
  /** Seconds of a window. The chain's price grows with a report's window: existing nodes report hours. */
  readonly windowSeconds: number;
  /** Milliseconds that sending may take until a final block has it. */
  readonly deadlineMs: number;
  /** Milliseconds before the next try after one that failed, doubled up to the second number. */
  readonly retryMs: readonly [number, number];
  /** Milliseconds between two looks for a transaction whose end is not known. */
  readonly lookMs: number;
  /** Milliseconds before a dead letter is tried again. */
  readonly deadRetryMs: number;
}

export const TRAFFIC_LIMITS: TrafficLimits = {
  sampleMs: 300_000,
  windowSeconds: 3_600,
  deadlineMs: 90_000,
  retryMs: [20_000, 300_000],
  lookMs: 12_000,
  deadRetryMs: 6 * 3_600_000,
};

export interface TrafficOptions {
  readonly meter: Meter;
  readonly table: TrafficTable;
  readonly chain: Pick<Client<typeof chain>, 'Reported' | 'ReportTraffic'>;
  /** Whether the journal has the deployment. */
  readonly isAlive: (id: DeploymentId) => boolean;
  readonly log: BusLog;
  readonly limits?: TrafficLimits;
}

/** Reports of one transaction. */
const BATCH = 100;
/** How often the chain may take a report without counting it. */
const MOST_PASSED = 3;
const READ_MS = 10_000;

/** `idle`: nothing to tell. `later`: the end of what was sent is not known yet. `done`: look again at once. */
type Turn = 'idle' | 'later' | 'done';

export class TrafficReporter {
  readonly #options: TrafficOptions;
  readonly #limits: TrafficLimits;
  /** Halves of batches that were refused, or came to nothing. */
  #groups: string[][] = [];
  /** Reports of contracts that the chain does not have yet, and until when they wait; milliseconds of the process. */
  readonly #postponed = new Map<string, number>();
  #failed = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#limits = options.limits ?? TRAFFIC_LIMITS;
  }

  get numbers(): ReportNumbers {
    const { table } = this.#options;
    const { reports, lastAt } = table.told;
    const pending = table.count('queued') + table.count('sent');
    return { pending, told: reports, failed: this.#failed, dead: table.count('dead'), lastSuccessAt: lastAt };
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#sampleAll(signal), this.#tellAll(signal)]);
  }

  async #sampleAll(signal: AbortSignal): Promise<void> {
    const { meter, table, isAlive, log } = this.#options;
    while (!signal.aborted) {
      try {
        await meter.sample({ signal });
        await nextTurn();
        meter.sweep(isAlive);
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, 'public traffic could not be sampled');
      }
      await nextTurn();
      try {
        table.cut(this.#limits.windowSeconds, (id) => !isAlive(id), Date.now());
      } catch (error) {
        log.error({ err: error }, 'windows of traffic could not be closed; they grow');
      }
      await sleep(this.#limits.sampleMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #tellAll(signal: AbortSignal): Promise<void> {
    const [firstDelayMs, maxDelayMs] = this.#limits.retryMs;
    let delayMs = firstDelayMs;
    while (!signal.aborted) {
      let waitMs = 0;
      try {
        const turn = await this.turn(signal);
        if (turn !== 'done') waitMs = turn === 'idle' ? firstDelayMs : this.#limits.lookMs;
        delayMs = firstDelayMs;
      } catch (error) {
        if (signal.aborted) return;
        this.#failed += 1;
        this.#options.log.warn({ err: error, againInMs: delayMs }, 'the chain was not told of public traffic');
        waitMs = delayMs;
        delayMs = Math.min(delayMs * 2, maxDelayMs);
      }
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Looks for what was sent, else sends what waits. Throws where neither can be done now. */
  async turn(signal: AbortSignal): Promise<Turn> {
    const attempt = this.#options.table.attempt();
    if (attempt !== undefined) return (await this.#resolve(attempt, signal)) ? 'done' : 'later';
    const batch = this.#next();
    return batch.length === 0 ? 'idle' : await this.#send(batch, signal);
  }

  /** Halves of refused batches first, then what waits; a dead letter, when its time has come, alone. */
  #next(): TrafficReport[] {
    const { table } = this.#options;
    while (this.#groups.length > 0) {
      const group = table.unsent(this.#groups.shift() ?? []);
      if (group.length > 0) return group;
    }
    const now = performance.now();
    for (const [id, until] of this.#postponed) if (until <= now) this.#postponed.delete(id);
    const queued = table.queued(BATCH + this.#postponed.size).filter(({ id }) => !this.#postponed.has(id));
    return queued.length > 0 ? queued.slice(0, BATCH) : table.dead(1, Date.now() - this.#limits.deadRetryMs);
  }

  /** What final blocks say of the reports that were sent. True when nothing is open any more. */
  async #resolve({ birth, included, reports }: Attempt, signal: AbortSignal): Promise<boolean> {
    const { table, isAlive, log } = this.#options;
    const { block, contracts } = await this.#read(reports, signal);
    // Also what a final block had: another endpoint may not have come that far.
    const isVoid = block >= birth + TRAFFIC_LIFE_BLOCKS;
    const fates = new Map<string, Fate>();
    for (const { id, contract, deployment, stamp } of reports) {
      const held = contracts.get(contract);
      if (held === undefined) continue;
      if (held.NodeID !== 0 && held.TrafficUntil >= BigInt(stamp)) fates.set(id, 'told');
      else if (held.NodeID === 0 && !isAlive(deployment)) fates.set(id, 'void');
      else if (isVoid) fates.set(id, included ? 'passed' : 'again');
    }
    table.settle(fates, MOST_PASSED, Date.now());
    // Nobody said why it came to nothing: who is to blame comes to stand alone, and behind the others.
    if (!included) this.#separate(reports.map(({ id }) => id).filter((id) => fates.get(id) === 'again'));
    for (const { id, deployment, bytes } of reports) {
      const fate = fates.get(id);
      if (fate === 'passed')
        log.error({ deployment, report: id }, 'ALARM: the chain took a report and did not count it');
      else log.debug({ deployment, report: id, bytes, fate }, 'report of traffic');
    }
    return table.attempt() === undefined;
  }

  async #send(batch: readonly TrafficReport[], signal: AbortSignal): Promise<Turn> {
    const { table, chain: client, isAlive, log } = this.#options;
    const { block, contracts } = await this.#read(batch, signal);
    const gone: string[] = [];
    const stamps = new Map<string, number>();
    const newest = new Map<bigint, number>();
    for (const { id, contract, deployment, until } of batch) {
      const held = contracts.get(contract);
      if (held !== undefined && held.NodeID !== 0) {
        // Later than all the chain knows of the contract, however clocks differ: else it is passed over.
        const stamp = Math.max(until, (newest.get(contract) ?? Number(held.TrafficUntil)) + 1);
        newest.set(contract, stamp);
        stamps.set(id, stamp);
      } else if (held !== undefined && !isAlive(deployment)) gone.push(id);
    }
    table.giveUp(gone, Date.now());
    const sent = batch.filter(({ id }) => stamps.has(id));
    for (const { id } of batch) {
      if (!stamps.has(id) && !gone.includes(id)) this.#postponed.set(id, performance.now() + this.#limits.retryMs[1]);
    }
    if (sent.length === 0) return 'done';

    table.begin(block, stamps, Date.now());
    const consumptions = sent.map(({ id, contract, since, until, bytes }) => ({
      ContractID: contract,
      Timestamp: BigInt(stamps.get(id) ?? 0),
      // A window that grew while the node was down is no dearer than an hour.
      Window: BigInt(Math.min(until - since, this.#limits.windowSeconds)),
      NRU: BigInt(bytes),
    }));
    try {
      await client.ReportTraffic({ consumptions, birth: block }, { deadlineMs: this.#limits.deadlineMs, signal });
    } catch (error) {
      // What became of it is found out after the next start.
      if (signal.aborted) return 'later';
      this.#failed += 1;
      const reason = refusalOf(error);
      if (reason !== undefined) this.#refused(sent, reason);
      else if (isUnrun(error)) table.settle(new Map(sent.map(({ id }) => [id, 'again'])), MOST_PASSED, Date.now());
      else log.warn({ err: error, reports: sent.length }, 'whether the chain has these reports is looked up');
      if (isUnrun(error)) throw error;
      return reason === undefined ? 'later' : 'done';
    }
    table.included();
    log.info({ reports: sent.length }, 'told the chain of public traffic');
    return 'done';
  }

  #refused(sent: readonly TrafficReport[], reason: string): void {
    const { table, log } = this.#options;
    table.refused(reason, Date.now());
    const [only] = sent;
    if (sent.length === 1 && only !== undefined) {
      const { deployment, id: report, bytes } = only;
      log.error(
        { deployment, report, bytes, reason },
        'ALARM: the chain refuses a report of traffic; it is not billed',
      );
      return;
    }
    this.#separate(sent.map(({ id }) => id));
  }

  #separate(ids: readonly string[]): void {
    const [only] = ids;
    if (only === undefined) return;
    if (ids.length === 1) {
      this.#postponed.set(only, performance.now() + this.#limits.retryMs[1]);
      return;
    }
    const half = Math.ceil(ids.length / 2);
    this.#groups = [ids.slice(0, half), ids.slice(half), ...this.#groups];
  }

  async #read(reports: readonly TrafficReport[], signal: AbortSignal) {
    const ids = [...new Set(reports.map(({ contract }) => contract))];
    const { BlockNumber, Contracts } = await this.#options.chain.Reported({ ids }, { deadlineMs: READ_MS, signal });
    return { block: BlockNumber, contracts: new Map((Contracts ?? []).map((one) => [one.ContractID, one])) };
  }
}
