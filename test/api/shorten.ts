/** What is left out of recorded answers, for readers: the rest of long lists, and this machine's own image server. */
import type { CommandExample } from '../../schemas/publish/recorded.ts';

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
  return { ...example, answer };
}
