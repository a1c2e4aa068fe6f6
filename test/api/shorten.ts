/** What is left out of recorded answers, for readers: the rest of long lists, and this machine's own image server. */
import type { CommandExample } from '../../schemas/publish/recorded.ts';

/** Of a machine's console. */
const LINES = 2;

/** How many elements of a list at that path are kept. */
const kept: Readonly<Record<string, readonly [path: string, elements: number][]>> = {
  'zos.system.dmi': [['sections', 2]],
};

export function shortened(examples: Readonly<Record<string, CommandExample>>): Record<string, CommandExample> {
  return Object.fromEntries(Object.entries(examples).map(([name, example]) => [name, short(name, example)]));
}

function short(name: string, example: CommandExample): CommandExample {
  if (!('answer' in example)) return example;
  const answer = structuredClone(example.answer) as Record<string, unknown>;
  for (const [path, elements] of kept[name] ?? []) answer[path] = (answer[path] as unknown[]).slice(0, elements);
  if (name === 'zos.api.describe') {
    const { openrpc, info, methods } = answer as { openrpc: unknown; info: unknown; methods: { name: unknown }[] };
    return {
      ...example,
      answer: { openrpc, info, methods: methods.slice(0, 1).map(({ name: method }) => ({ name: method })) },
    };
  }
  if (name === 'zos.debug.deployment.info') return { ...example, answer: withoutBoot(answer) };
  return { ...example, answer };
}

/** Of what a machine printed, the last lines: the beginning is its kernel's and tells of the machine it ran on. */
function withoutBoot(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutBoot);
  const entries = Object.entries(value).map(([key, field]) => [
    key,
    key === 'logs' && typeof field === 'string'
      ? field.trimEnd().split('\n').slice(-LINES).join('\n')
      : withoutBoot(field),
  ]);
  return Object.fromEntries(entries);
}
