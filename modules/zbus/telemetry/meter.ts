/** What the bus tells of its calls, for numbers. */
import { isZbusError } from '../errors.ts';

export type CallOutcome = 'ok' | 'error' | 'busy' | 'cancelled' | 'deadline' | 'lost' | 'missing' | 'protocol';

export interface BusMeter {
  /** A call of this daemon to another one has ended: `provision.planner.Wait`. */
  asked(method: string, outcome: CallOutcome, seconds: number): void;
  /** A call of another one that this daemon ran has ended: `planner.Wait`. */
  answered(method: string, outcome: CallOutcome, seconds: number): void;
}

/** How a call failed, in few words. */
export function outcomeOf(error: unknown): CallOutcome {
  if (!isZbusError(error)) return 'error';
  switch (error.kind) {
    case 'no_such_module':
      return 'missing';
    case 'bus_lost':
      return 'lost';
    case 'busy':
    case 'cancelled':
    case 'deadline':
    case 'protocol':
      return error.kind;
    case 'call_failed':
      return 'error';
  }
}
