/**
 * Tells the chain what each contract's running workloads use; contracts are billed by it. The newest value of
 * each is sent, together with others, until a final block holds it. Telling a value twice does no harm.
 */
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises';
import type { chain, substrateGateway } from '../../modules/api-gateway/interface.ts';
import type { BusLog } from '../../modules/zbus/broker.ts';
import type { Client } from '../../modules/zbus/definition.ts';
import type { DeploymentId, DeploymentRecord, Journal } from '../store/journal.ts';
import type { CapacityTable, ToldCapacity } from './capacity-table.ts';
import { contractOf } from './facts.ts';
import type { ReportNumbers } from './numbers.ts';
import { refusalOf } from './refusal.ts';
import { textOfUse, type Used, useOf, useOfText } from './use.ts';

export interface CapacityLimits {
  /** Milliseconds in which changes gather to be sent together. */
  readonly gatherMs: number;
  /** Milliseconds one report may take: a block, and the wait before it. */
  readonly deadlineMs: number;
  /** Milliseconds before a report that failed is made again, doubled up to the second number. */
  readonly retryMs: readonly [number, number];
  /** Milliseconds between two looks at what final blocks hold of what was told. */
  readonly confirmMs: number;
  /** Milliseconds after which what was told should be in a final block. */
  readonly finalWithinMs: number;
  /** Milliseconds before a dead letter is tried again. */
  readonly deadRetryMs: number;
}

export const CAPACITY_LIMITS: CapacityLimits = {
  gatherMs: 2_000,
  deadlineMs: 60_000,
  retryMs: [6_000, 300_000],
  confirmMs: 60_000,
  finalWithinMs: 300_000,
  deadRetryMs: 3_600_000,
};

export interface CapacityOptions {
  readonly journal: Pick<Journal, 'deployment' | 'deployments'>;
  readonly table: CapacityTable;
  readonly gateway: Pick<Client<typeof substrateGateway>, 'SetContractConsumption'>;
  readonly chain: Pick<Client<typeof chain>, 'Reported'>;
  readonly log: BusLog;
  readonly limits?: CapacityLimits;
}

/** Contracts of one transaction, and of one question. */
const BATCH = 100;
/** How often a value is told of which final blocks hold nothing. */
const MOST_AGAIN = 3;
/** Deployments that are compared before others have their turn. */
const AT_ONCE = 500;
const NOTHING = textOfUse(useOf(undefined));

export class CapacityReporter {
  readonly #options: CapacityOptions;
  readonly #limits: CapacityLimits;
  /** At most the deployments of the journal and of the table. */
  readonly #changed = new Set<DeploymentId>();
  #failed = 0;
  #wake = new AbortController();

  constructor(options: CapacityOptions) {
    this.#options = options;
    this.#limits = options.limits ?? CAPACITY_LIMITS;
  }

  get numbers(): ReportNumbers {
    const { reports, lastAt } = this.#options.table.sum;
    const { dead } = this.#options.table;
    return { pending: this.#changed.size, told: reports, failed: this.#failed, dead, lastSuccessAt: lastAt };
  }

  /** What a deployment uses may have changed. */
  changed({ id }: Pick<DeploymentRecord, 'id'>): void {
    this.#changed.add(id);
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#compareAll(signal).catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'what contracts use was not compared with what the chain was told');
    });
    await Promise.all([this.#tellAll(signal), this.#confirmAll(signal)]);
  }

  /** After a start: who changed while nobody listened. */
  async #compareAll(signal: AbortSignal): Promise<void> {
    let compared = 0;
    for (const record of this.#options.journal.deployments()) {
      if (signal.aborted) return;
      if (this.#due(record.id) !== undefined) this.changed(record);
      compared += 1;
      if (compared % AT_ONCE === 0) await breathe();
    }
  }

  async #tellAll(signal: AbortSignal): Promise<void> {
    const [firstDelayMs, maxDelayMs] = this.#limits.retryMs;
    let delayMs = firstDelayMs;
    // Where something fails that is not known as a refusal, who is to blame comes to stand alone, and behind the others.
    let most = BATCH;
    while (!signal.aborted) {
      if (this.#changed.size === 0) await this.#untilChanged(signal);
      await sleep(this.#limits.gatherMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const ids = [...this.#changed].slice(0, most);
      for (const id of ids) this.#changed.delete(id);
      try {
        await this.#report(ids, signal);
        delayMs = firstDelayMs;
        most = Math.min(most * 2, BATCH);
      } catch (error) {
        for (const id of ids) this.#changed.add(id);
        if (signal.aborted) return;
        most = Math.ceil(Math.min(most, ids.length) / 2);
        this.#failed += 1;
        this.#options.log.warn({ err: error, againInMs: delayMs }, 'the chain was not told what contracts use');
        await sleep(delayMs, undefined, { signal }).catch(() => undefined);
        delayMs = Math.min(delayMs * 2, maxDelayMs);
      }
    }
  }

  async #untilChanged(signal: AbortSignal): Promise<void> {
    this.#wake = new AbortController();
    const woken = AbortSignal.any([signal, this.#wake.signal]);
    await new Promise<void>((resolve) => {
      if (woken.aborted) resolve();
      else woken.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** What there is to tell of a deployment; undefined where the chain was told, or has refused it of late. */
  #due(id: DeploymentId): Used | undefined {
    const { journal, table } = this.#options;
    const record = journal.deployment(id);
    const told = table.get(id);
    // A contract that ended is not billed any more.
    if (record?.cancelled !== undefined || (record === undefined && told === undefined)) return undefined;
    if (told !== undefined && told.refused !== '' && !this.#isRetryDue(told)) return undefined;
    const used = useOf(record);
    const before = told === undefined || (told.value === '' && told.again === 0) ? NOTHING : told.value;
    return textOfUse(used) === before ? undefined : used;
  }

  #isRetryDue({ refusedAt }: ToldCapacity): boolean {
    const age = Date.now() - refusedAt;
    // A clock that went back does not make it wait for longer.
    return age >= this.#limits.deadRetryMs || age < 0;
  }

  async #report(ids: readonly DeploymentId[], signal: AbortSignal): Promise<void> {
    const due = ids.flatMap((id) => {
      const used = this.#due(id);
      return used === undefined ? [] : [{ id, used }];
    });
    if (due.length > 0) await this.#tell(due, signal);
  }

  /** A batch that is refused is told in halves, until who is refused stands alone. */
  async #tell(
    due: ReadonlyArray<{ readonly id: DeploymentId; readonly used: Used }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { gateway, table, log } = this.#options;
    const resources = due.map(({ id, used }) => ({ ContractID: contractOf(id), Used: used }));
    try {
      await gateway.SetContractConsumption({ resources }, { deadlineMs: this.#limits.deadlineMs, signal });
    } catch (error) {
      const reason = refusalOf(error);
      if (reason === undefined) throw error;
      this.#failed += 1;
      const [only] = due;
      if (due.length === 1 && only !== undefined) {
        table.refused(only.id, reason, Date.now());
        log.error(
          { deployment: only.id, reason },
          'ALARM: the chain refuses what a contract uses; it is not billed so',
        );
        return;
      }
      const half = Math.ceil(due.length / 2);
      await this.#tell(due.slice(0, half), signal);
      await this.#tell(due.slice(half), signal);
      return;
    }
    table.told(new Map(due.map(({ id, used }) => [id, textOfUse(used)])), Date.now());
    log.info({ contracts: due.length }, 'told the chain what contracts use');
  }

  async #confirmAll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#limits.confirmMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#confirm(signal);
      } catch (error) {
        if (!signal.aborted)
          this.#options.log.debug({ err: error }, 'the chain does not tell what it holds of reports');
      }
    }
  }

  /** A block that has a report may be replaced by one that has not: only a final one is believed. */
  async #confirm(signal: AbortSignal): Promise<void> {
    const { table, chain: client, journal } = this.#options;
    const open = table.all().filter((told) => {
      if (told.refused !== '') {
        if (this.#isRetryDue(told)) this.changed({ id: told.deployment });
        return journal.deployment(told.deployment) === undefined;
      }
      return !told.confirmed || journal.deployment(told.deployment) === undefined;
    });
    for (let at = 0; at < open.length; at += BATCH) {
      const batch = open.slice(at, at + BATCH);
      const ids = batch.map(({ deployment }) => contractOf(deployment));
      const { Contracts } = await client.Reported({ ids }, { deadlineMs: this.#limits.deadlineMs, signal });
      const held = new Map((Contracts ?? []).map((one) => [one.ContractID, one]));
      for (const told of batch) this.#compare(told, held.get(contractOf(told.deployment)));
    }
  }

  #compare(told: ToldCapacity, held: { readonly NodeID: number; readonly Used: Used } | undefined): void {
    const { table, journal, log } = this.#options;
    const id = told.deployment;
    const isGone = journal.deployment(id) === undefined;
    if (held === undefined || table.get(id)?.toldAt !== told.toldAt) return;
    if (held.NodeID === 0) {
      if (isGone) table.forget(id);
      return;
    }
    const text = textOfUse(held.Used);
    if (told.value === '') {
      // Told of nothing since the last look: that final blocks hold something else is no news.
      if (isGone && text === NOTHING && told.again === 0) table.forget(id);
      else if (told.refused === '') this.changed({ id });
      return;
    }
    if (text === told.value) {
      if (!told.confirmed) table.confirmed([id]);
      if (isGone && text === NOTHING) table.forget(id);
      // The contract lives on, and nothing of it runs here.
      else if (isGone) this.changed({ id });
      return;
    }
    if (Math.abs(Date.now() - told.toldAt) < this.#limits.finalWithinMs) return;
    if (told.again + 1 < MOST_AGAIN) {
      table.missed(id);
      this.changed({ id });
      return;
    }
    const reason = `the chain took it ${MOST_AGAIN} times and holds ${JSON.stringify(useOfText(text), plain)}`;
    table.missed(id);
    table.refused(id, reason, Date.now());
    log.error({ deployment: id, reason }, 'ALARM: the chain does not keep what a contract uses');
  }
}

const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? Number(value) : value);
