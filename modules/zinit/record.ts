/** Which process runs a unit, on disk, so that a killed supervisor's children are found again. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ProcessMark } from './process.ts';

const markFile = z.object({ pid: z.int().positive(), startTicks: z.string() });

export async function writeMark(folder: string, name: string, mark: ProcessMark): Promise<void> {
  const path = join(folder, `${name}.json`);
  await writeFile(`${path}.tmp`, JSON.stringify(mark), { mode: 0o600 });
  await rename(`${path}.tmp`, path);
}

/** The recorded process, undefined where none is recorded or the record is torn. */
export async function readMark(folder: string, name: string): Promise<ProcessMark | undefined> {
  try {
    return markFile.parse(JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')));
  } catch {
    return undefined;
  }
}
