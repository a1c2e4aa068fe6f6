/** What vmd keeps of a machine on disk; written before and after every change of its processes. */
import { renameSync, writeFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from '../host/files.ts';
import { machineConfigSchema } from './config.ts';
import { processIdentitySchema } from './processes.ts';

const recordSchema = z.object({
  version: z.literal(1),
  config: machineConfigSchema,
  /**
   * `running`: to be kept running; `ended`: not restarted by wish of its owner;
   * `given_up`: crashed too often, its owner has to be told.
   */
  state: z.enum(['running', 'ended', 'given_up']),
  reason: z.string(),
  paused: z.boolean(),
  /** The boot in which the processes were started. */
  bootId: z.string(),
  processes: z.array(processIdentitySchema),
  /** Milliseconds since 1970 of the crashes that still count. */
  crashes: z.array(z.number()),
});

export type MachineRecord = z.infer<typeof recordSchema>;

/**
 * Replaces the record at once: no other event may come between a process's
 * start and its being known. Not forced to the disk, since a record means
 * nothing once the host, and with it every process in it, has gone down.
 */
export function saveRecord(path: string, record: MachineRecord): void {
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}

export async function removeRecord(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(`${path}.tmp`, { force: true });
}

/** Throws for a file of another form. */
export async function readRecord(path: string): Promise<MachineRecord> {
  return recordSchema.parse(await readJson(path));
}

/** All records of a folder; what cannot be read is handed to `broken`. */
export async function readRecords(
  folder: string,
  broken: (file: string, error: unknown) => void,
): Promise<MachineRecord[]> {
  const records: MachineRecord[] = [];
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  for (const file of files.filter((name) => name.endsWith('.json')).sort()) {
    try {
      records.push(await readRecord(join(folder, file)));
    } catch (error) {
      broken(file, error);
    }
  }
  return records;
}
