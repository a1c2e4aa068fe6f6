/** One request's lines in the logs of all units, in the order of time. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface TraceLine {
  readonly unit: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The line as it was logged: JSON. */
  readonly text: string;
}

/** Lines of one request that are shown at most; a story is some hundred. */
const LINES_MOST = 20_000;

/** Reads whole logs, also rotated ones. `trace`: an envelope's uid. */
export async function traceLines(folder: string, trace: string): Promise<TraceLine[]> {
  const lines: (TraceLine & { readonly order: number })[] = [];
  const needle = JSON.stringify(trace);
  for (const file of await logFiles(folder)) {
    const unit = file.replace(/\.log(\..*)?$/, '');
    for await (const text of createInterface({ input: createReadStream(join(folder, file)) })) {
      if (!text.includes(needle) || lines.length >= LINES_MOST) continue;
      const time = timeOf(text, trace);
      if (time !== undefined) lines.push({ unit, time, text, order: lines.length });
    }
  }
  return lines
    .sort((a, b) => a.time - b.time || a.order - b.order)
    .map(({ unit, time, text }) => ({ unit, time, text }));
}

/** Older files of a unit first: `x.log.1` before `x.log`. */
async function logFiles(folder: string): Promise<string[]> {
  const files = await readdir(folder).catch(() => []);
  return files.filter((file) => /\.log(\.\d+)?$/.test(file)).sort((a, b) => b.localeCompare(a));
}

/** Undefined for a line that is not of the request. */
function timeOf(text: string, trace: string): number | undefined {
  try {
    const line = JSON.parse(text) as { readonly time?: unknown; readonly trace?: unknown };
    return line.trace === trace && typeof line.time === 'number' ? line.time : undefined;
  } catch {
    return undefined;
  }
}

/** Of every line, and of a step its time, which the line has. */
const HIDDEN = new Set(['level', 'time', 'pid', 'hostname', 'name', 'msg', 'trace', 'at']);

/** An error is its message: its stack is for `--json`. */
function plain(value: unknown): string {
  if (typeof value === 'string') return value;
  const message = value instanceof Object && 'message' in value ? value.message : undefined;
  return typeof message === 'string' ? message : JSON.stringify(value);
}

/** `12:00:01.123 provisiond accepted deployment=7-5 …`. */
export function toldLine({ unit, time, text }: TraceLine): string {
  const line = JSON.parse(text) as Record<string, unknown>;
  const facts = Object.entries(line)
    .filter(([key, value]) => !HIDDEN.has(key) && value !== '')
    .map(([key, value]) => `${key}=${plain(value)}`);
  const who = typeof line.name === 'string' ? line.name : unit;
  const told = [new Date(time).toISOString().slice(11, 23), who.padEnd(10), line.msg ?? '', ...facts].join(' ');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what tenants sent may not reach a terminal as it is.
  return told.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trimEnd();
}
