/** What a process used of the processors. */

import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';

/** Clock ticks a second in /proc; Linux shows 100 to programs on every architecture. */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time of all its threads since it began. */
export async function processorSeconds({ pid }: ChildProcess): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name in brackets may have spaces; user and system time are the 12th and 13th field behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
