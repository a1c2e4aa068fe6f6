import type { TaskResult as WireResult } from '../../modules/noded/interface.ts';
import type { Infer } from '../../modules/zbus/wire.ts';
import { perfGet, perfGetAll } from '../../schemas/index.ts';
import { handle } from './handler.ts';

export const perfHandlers = [
  handle(perfGet, async ({ name }, { node, signal, deadlineMs }) =>
    taskResult(await node.performance.Get({ taskName: name }, { signal, deadlineMs })),
  ),
  handle(perfGetAll, async (_input, { node, signal, deadlineMs }) =>
    (await node.performance.GetAll({}, { signal, deadlineMs })).map(taskResult),
  ),
];

function taskResult({ Name, Description, Timestamp, Result }: Infer<typeof WireResult>) {
  return { name: Name, description: Description, timestamp: Number(Timestamp), result: jsonText(Result) };
}

/** A value of the bus as JSON: maps are objects, integers are written in full. */
function jsonText(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return `{${entries.map(([key, item]) => `${JSON.stringify(String(key))}:${jsonText(item)}`).join(',')}}`;
}
