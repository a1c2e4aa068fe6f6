/** Check 8: a twin the chain knows. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';

export interface TwinTools {
  readonly twins: TwinSource;
  readonly log: Logger;
}

/** Looks up who requests are of. Twins that are known cost no wait; those that are not wait for the chain, so many at once. */
export class TwinDesk {
  readonly #tools: TwinTools;
  readonly #limit: number;
  #waiting = 0;

  constructor(tools: TwinTools, limit: number) {
    this.#tools = tools;
    this.#limit = limit;
  }

  async find(id: number): Promise<TwinRecord | GridError> {
    if (this.#waiting >= this.#limit) return new GridError('twin_lookup_failed', { twin: id });
    this.#waiting += 1;
    try {
      return await findTwin(this.#tools, id);
    } finally {
      this.#waiting -= 1;
    }
  }
}

export async function findTwin(
  { twins, log }: TwinTools,
  id: number,
  options: { readonly fresh?: boolean } = {},
): Promise<TwinRecord | GridError> {
  try {
    return (await twins.twin(id, options)) ?? new GridError('twin_unknown', { twin: id });
  } catch (error) {
    log.error({ twin: id, reason: (error as Error).message }, 'twin lookup failed');
    return new GridError('twin_lookup_failed', { twin: id }, { cause: error });
  }
}
