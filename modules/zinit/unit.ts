/** One unit: what zinit reads from `<folder>/<name>.yaml`. */
import { readdir, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { splitWords } from './words.ts';

const signalName = z
  .string()
  .transform((text) => text.toUpperCase())
  .transform((text) => (text.startsWith('SIG') ? text : `SIG${text}`))
  .refine((text): text is NodeJS.Signals => text in constants.signals, 'is not a signal');

const commandLine = z.string().transform((line, context) => {
  try {
    return splitWords(line);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
    return z.NEVER;
  }
});

/** Keys that zinit does not know are ignored, as zinit ignores them. */
const unitFile = z.object({
  exec: commandLine.refine((words) => words.length > 0, 'missing exec directive'),
  test: commandLine.default([]),
  oneshot: z.boolean().default(false),
  after: z.array(z.string()).default([]),
  signal: z.object({ stop: signalName.default('SIGTERM') }).prefault({}),
  log: z.enum(['none', 'ring', 'stdout']).default('ring'),
  env: z.record(z.string(), z.coerce.string()).default({}),
  dir: z.string().default(''),
  /** Seconds between the stop signal and SIGKILL. */
  shutdown_timeout: z.number().nonnegative().default(10),
});

export interface Unit {
  readonly name: string;
  readonly exec: readonly string[];
  /** Run until it succeeds; the unit is ready then. Empty: ready once started. */
  readonly test: readonly string[];
  /** Ready when the process ends with status 0; not restarted. */
  readonly oneshot: boolean;
  readonly after: readonly string[];
  readonly stopSignal: NodeJS.Signals;
  readonly log: 'none' | 'ring' | 'stdout';
  readonly env: Readonly<Record<string, string>>;
  readonly dir: string | undefined;
  readonly shutdownTimeoutMs: number;
}

/** A unit file that cannot be used, with the file and the field. */
export class UnitError extends Error {
  override readonly name = 'UnitError';
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** Reads one unit from YAML text. Throws `UnitError`. */
export function parseUnit(name: string, text: string): Unit {
  if (!NAME.test(name)) throw new UnitError(`unit name '${name}' must be 1 to 64 of A-Z a-z 0-9 _ . -`);
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new UnitError(`unit ${name}: not YAML: ${(error as Error).message}`);
  }
  const parsed = unitFile.safeParse(document);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new UnitError(`unit ${name}: ${issue?.path.join('.') || 'document'}: ${issue?.message ?? 'invalid'}`);
  }
  const unit = parsed.data;
  return {
    name,
    exec: unit.exec,
    test: unit.test,
    oneshot: unit.oneshot,
    after: unit.after,
    stopSignal: unit.signal.stop,
    log: unit.log,
    env: unit.env,
    dir: unit.dir === '' ? undefined : unit.dir,
    shutdownTimeoutMs: unit.shutdown_timeout * 1000,
  };
}

/** Every unit of a folder, by name. Throws `UnitError` for the first bad file. */
export async function loadUnits(folder: string): Promise<Map<string, Unit>> {
  const units = new Map<string, Unit>();
  for (const file of (await readdir(folder)).sort()) {
    if (!file.endsWith('.yaml')) continue;
    const name = file.slice(0, -'.yaml'.length);
    units.set(name, parseUnit(name, await readFile(join(folder, file), 'utf8')));
  }
  return units;
}
