/** Check 8: a twin the chain knows. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';

export interface TwinTools {
  readonly twins: TwinSource;
}

/** A chain that is away fails every request; it is told this often. */
const LOG_EVERY_MS = 5000;

/** Looks up who requests are of: each twin once at a time, and so many twins at once. */
export class TwinDesk {
  readonly #tools: TwinTools;
  readonly #limit: number;
  readonly #log: Logger;
  readonly #underWay = new Map<number, Promise<TwinRecord | GridError>>();
  #failed = 0;
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(tools: TwinTools, limit: number, log: Logger) {
    this.#tools = tools;
    this.#limit = limit;
    this.#log = log;
  }

  find(id: number): Promise<TwinRecord | GridError> {
    // Strangers who name thousands of other twins must not keep the known ones waiting.
    const known = this.#tools.twins.known?.(id);
    if (known !== undefined) return Promise.resolve(known);
    const running = this.#underWay.get(id);
    if (running !== undefined) return running;
    if (this.#underWay.size >= this.#limit) {
      return Promise.resolve(this.#fail(id, new Error(`${this.#limit} twins are being looked up already`)));
    }
    const finding = this.#find(id).then((found) => {
      this.#underWay.delete(id);
      return found;
    });
    this.#underWay.set(id, finding);
    return finding;
  }

  async #find(id: number): Promise<TwinRecord | GridError> {
    try {
      return (await this.#tools.twins.twin(id)) ?? new GridError('twin_unknown', { twin: id });
    } catch (error) {
      return this.#fail(id, error as Error);
    }
  }

  #fail(twin: number, cause: Error): GridError {
    this.#failed += 1;
    const now = performance.now();
    if (now - this.#loggedAt >= LOG_EVERY_MS) {
      this.#log.error({ twin, failed: this.#failed, reason: cause.message }, 'twin lookup failed');
      this.#loggedAt = now;
      this.#failed = 0;
    }
    return new GridError('twin_lookup_failed', { twin }, { cause });
  }
}

/** The twin as the chain has it now, for a record that failed. */
export async function reloadTwin({ twins }: TwinTools, id: number): Promise<TwinRecord | GridError> {
  try {
    return (await twins.twin(id, { fresh: true })) ?? new GridError('twin_unknown', { twin: id });
  } catch (cause) {
    return new GridError('twin_lookup_failed', { twin: id }, { cause });
  }
}
