/** Examples that a node really answered, as `schemas/examples/` keeps them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type CommandExample =
  | { readonly request: unknown; readonly answer: unknown }
  | { readonly request: unknown; readonly error: { readonly code: number; readonly message: string } };

/** A workload as a client sends it, and its result; of a type that the node does not run, the reason. */
export type WorkloadExample =
  | { readonly workload: unknown; readonly result: unknown }
  | { readonly workload: unknown; readonly refusal: unknown };

export interface Examples {
  readonly commands: Readonly<Record<string, CommandExample>>;
  readonly workloads: Readonly<Record<string, WorkloadExample>>;
}

/** Commands whose recorded answers are only the beginning of what the node said. */
export const shortenedAnswers: ReadonlySet<string> = new Set(['zos.system.dmi', 'zos.api.describe']);

const folder = join(import.meta.dirname, '..', 'examples');

/** What `schemas/examples/` holds: a file a command and a file a workload type. */
export function recordedExamples(): Examples {
  return { commands: readAll('commands'), workloads: readAll('workloads') };
}

function readAll<T>(kind: string): Record<string, T> {
  const files = readdirSync(join(folder, kind)).filter((file) => file.endsWith('.json'));
  return Object.fromEntries(
    files.map((file) => [file.slice(0, -'.json'.length), JSON.parse(readFileSync(join(folder, kind, file), 'utf8'))]),
  );
}
