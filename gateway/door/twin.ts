/** Check 8: a twin the chain knows. */
import type { Logger } from 'pino';
import { GridError } from '../../schemas/errors/index.ts';
import type { TwinRecord, TwinSource } from '../rmb/twins.ts';

export interface TwinTools {
  readonly twins: TwinSource;
  readonly log: Logger;
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
