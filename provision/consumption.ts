/**
 * Tells the chain what each contract's running workloads use; contracts are billed
 * by it. The newest value of each is sent, together with others, until the chain has it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractResources, substrateGateway } from '../modules/api-gateway/interface.ts';
import type { BusLog } from '../modules/zbus/broker.ts';
import type { Client } from '../modules/zbus/definition.ts';
import type { Infer } from '../modules/zbus/wire.ts';
import { runningWorkloads } from './report.ts';
import type { DeploymentRecord, Journal } from './store/journal.ts';

export interface ConsumptionLimits {
  /** Milliseconds in which changes gather to be sent together. */
  readonly gatherMs: number;
  /** Milliseconds one report may take: a block, and the wait before it. */
  readonly deadlineMs: number;
  /** Milliseconds before a report that failed is made again, doubled up to the second number. */
  readonly retryMs: readonly [number, number];
}

export const CONSUMPTION_LIMITS: ConsumptionLimits = {
  gatherMs: 2_000,
  deadlineMs: 60_000,
  retryMs: [6_000, 300_000],
};

export interface ConsumptionOptions {
  readonly journal: Journal;
  readonly gateway: Pick<Client<typeof substrateGateway>, 'SetContractConsumption'>;
  readonly log: BusLog;
  readonly limits?: ConsumptionLimits;
}

/** Contracts of one report. */
const BATCH = 100;

export class ConsumptionReporter {
  readonly #options: ConsumptionOptions;
  readonly #limits: ConsumptionLimits;
  /** What the chain was told last, to say nothing twice. */
  readonly #told = new Map<string, string>();
  /** At most the deployments of the journal. */
  readonly #changed = new Set<string>();
  #wake = new AbortController();

  constructor(options: ConsumptionOptions) {
    this.#options = options;
    this.#limits = options.limits ?? CONSUMPTION_LIMITS;
  }

  /** What a deployment uses may have changed. */
  changed({ id }: DeploymentRecord): void {
    this.#changed.add(id);
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const [firstDelayMs, maxDelayMs] = this.#limits.retryMs;
    let delayMs = firstDelayMs;
    while (!signal.aborted) {
      if (this.#changed.size === 0) await this.#untilChanged(signal);
      await sleep(this.#limits.gatherMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#report(signal);
        delayMs = firstDelayMs;
      } catch (error) {
        if (signal.aborted) return;
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

  async #report(signal: AbortSignal): Promise<void> {
    const { journal, gateway, log } = this.#options;
    for (const id of this.#told.keys()) if (journal.deployment(id) === undefined) this.#told.delete(id);
    const ids = [...this.#changed].slice(0, BATCH);
    const reports: Array<{ id: string; text: string; resources: Infer<typeof ContractResources> }> = [];
    for (const id of ids) {
      this.#changed.delete(id);
      const record = journal.deployment(id);
      if (record === undefined || record.cancelled !== undefined) continue;
      const Used = useOf(record);
      const text = Object.values(Used).join(' ');
      if (this.#told.get(id) !== text) reports.push({ id, text, resources: { ContractID: record.contract, Used } });
    }
    if (reports.length === 0) return;
    try {
      const resources = reports.map((one) => one.resources);
      await gateway.SetContractConsumption({ resources }, { deadlineMs: this.#limits.deadlineMs, signal });
    } catch (error) {
      for (const { id } of reports) this.#changed.add(id);
      throw error;
    }
    for (const { id, text } of reports) this.#told.set(id, text);
    log.info({ contracts: reports.length }, 'told the chain what contracts use');
  }
}

/** Declared needs of the workloads that run or are paused: vCPUs and bytes. */
function useOf(record: DeploymentRecord): Infer<typeof ContractResources>['Used'] {
  const used = { HRU: 0, SRU: 0, CRU: 0, MRU: 0 };
  for (const { held } of runningWorkloads(record)) {
    if (held === undefined) continue;
    used.CRU += held.vcpus;
    used.MRU += held.memoryBytes;
    for (const { media, bytes } of held.allocations) used[media === 'ssd' ? 'SRU' : 'HRU'] += bytes;
  }
  return { HRU: BigInt(used.HRU), SRU: BigInt(used.SRU), CRU: BigInt(used.CRU), MRU: BigInt(used.MRU) };
}
