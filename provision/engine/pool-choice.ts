/** Tells storaged which pool something was planned for, where it listens and has a choice. */
import { isZbusError } from '../../modules/zbus/errors.ts';
import type { WorkloadRecord } from '../store/journal.ts';
import type { Calling, Daemons } from '../workloads/workload.ts';

/** A node may get another pool, or another storaged. */
const ASK_AGAIN_MS = 60_000;

export class PoolChoice {
  readonly #placement: Daemons['placement'];
  #isIdleUntil = 0;

  constructor({ placement }: Daemons) {
    this.#placement = placement;
  }

  /** Before what the workload holds of pools is made. Throws where storaged does not answer. */
  async tell({ held }: WorkloadRecord, calling: Calling): Promise<void> {
    if (this.#placement === undefined) return;
    for (const { resource, pool } of held?.allocations ?? []) {
      if (performance.now() < this.#isIdleUntil) return;
      if (!(await this.#hasChoice(resource, pool, calling))) this.#isIdleUntil = performance.now() + ASK_AGAIN_MS;
    }
  }

  async #hasChoice(name: string, pool: string, calling: Calling): Promise<boolean> {
    try {
      return (await this.#placement?.Prefer({ name, pool }, calling)) ?? false;
    } catch (error) {
      // Another node's storaged, which chooses for itself.
      if (isZbusError(error, 'protocol')) return false;
      throw error;
    }
  }
}
