/** Every error the node answers with: one table, one class. Codes are never reused. */
import type { z } from 'zod';
import { busErrors } from './bus.ts';
import { capacityErrors } from './capacity.ts';
import { chainErrors } from './chain.ts';
import { commandErrors } from './command.ts';
import { contractErrors } from './contract.ts';
import { debugErrors } from './debug.ts';
import { deploymentErrors } from './deployment.ts';
import { doorErrors } from './door.ts';
import { envelopeErrors } from './envelope.ts';
import { flistErrors } from './flist.ts';
import { hostErrors } from './host.ts';
import { localErrors } from './local.ts';
import { machineErrors } from './machine.ts';
import { networkErrors } from './network.ts';
import { perfErrors } from './perf.ts';
import { simulationErrors } from './simulation.ts';
import { storageErrors } from './storage.ts';
import type { ErrorEntry, Fault, Stage } from './table.ts';

export const errorTable = {
  ...envelopeErrors,
  ...busErrors,
  ...commandErrors,
  ...debugErrors,
  ...doorErrors,
  ...localErrors,
  ...deploymentErrors,
  ...contractErrors,
  ...capacityErrors,
  ...storageErrors,
  ...networkErrors,
  ...machineErrors,
  ...flistErrors,
  ...chainErrors,
  ...hostErrors,
  ...perfErrors,
  ...simulationErrors,
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorTable;
export type ErrorDetails<C extends ErrorCode> = z.infer<(typeof errorTable)[C]['details']>;

/** A refusal or failure with its code, its numbers and whose fault it is. */
export class GridError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'GridError';
  readonly code: C;
  readonly details: ErrorDetails<C>;
  readonly number: number;
  readonly stage: Stage;
  readonly fault: Fault;
  readonly retryable: boolean;

  constructor(code: C, details: ErrorDetails<C>, options?: { cause?: unknown }) {
    const found = errorTable[code] as ErrorEntry;
    const text = found.message(details);
    super(found.remedy === undefined ? text : `${text}; ${found.remedy}`, options);
    this.code = code;
    this.details = details;
    this.number = found.number;
    this.stage = found.stage;
    this.fault = found.fault;
    this.retryable = found.retryable;
  }
}

/** Whether a value is a `GridError`, of one code if it is named. */
export function isGridError<C extends ErrorCode>(value: unknown, code?: C): value is GridError<C> {
  return value instanceof GridError && (code === undefined || value.code === code);
}

/**
 * The same error again from what crossed the bus or the relay. Unknown codes
 * (a newer peer's) and details that do not fit give `undefined`.
 */
export function reviveError(code: string, details: unknown): GridError | undefined {
  if (!Object.hasOwn(errorTable, code)) return undefined;
  const known = code as ErrorCode;
  const parsed = (errorTable[known] as ErrorEntry).details.safeParse(details);
  return parsed.success ? new GridError(known, parsed.data as ErrorDetails<typeof known>) : undefined;
}
