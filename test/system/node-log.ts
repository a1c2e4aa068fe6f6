/** What the node's processes wrote to their logs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Layout } from '../../cli/node/layout.ts';

type Line = Readonly<Record<string, unknown>>;

/** Every JSON line of a unit's log. */
export async function logLines(layout: Layout, unit: string): Promise<Line[]> {
  const text = await readFile(join(layout.state, 'log', `${unit}.log`), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as Line];
    } catch {
      return [];
    }
  });
}

/** Waits for a line after the first `after` ones that passes `wanted`. */
export async function untilLogged(
  layout: Layout,
  unit: string,
  wanted: (line: Line) => boolean,
  options: { readonly after?: number; readonly deadlineMs?: number } = {},
): Promise<Line> {
  const until = Date.now() + (options.deadlineMs ?? 60_000);
  for (;;) {
    const found = (await logLines(layout, unit)).slice(options.after ?? 0).find(wanted);
    if (found !== undefined) return found;
    if (Date.now() > until) throw new Error(`nothing like ${wanted} in the log of ${unit}`);
    await sleep(20);
  }
}
