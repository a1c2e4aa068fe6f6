import { describe, expect, it } from 'vitest';
import { type Command, commands, nothing, workloadTypeNames } from '../../schemas/index.ts';
import { validator } from '../../schemas/publish/published.ts';
import { type CommandExample, type Examples, recordedExamples } from '../../schemas/publish/recorded.ts';
import { isRoot } from '../system/test-node.ts';
import { askEverything } from './scenario.ts';
import { shortened } from './shorten.ts';
import { withExampleNode } from './stage.ts';

const recorded = recordedExamples();
const names = (commands as readonly Command[]).map(({ name }) => name);

/** Names of what differs from node to node. */
const varying = new Set(['contract_id', 'twin_id', 'signature', 'flist', 'deployment']);

/** Whether there is such a table depends on the machine. */
const ofTheMachine = new Set(['zos.system.dmi']);

function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [
      key,
      varying.has(key) && typeof field !== 'object' ? typeof field : masked(field),
    ]),
  );
}

function expectPublished(name: string, example: CommandExample): void {
  const { input } = commands.find((command) => command.name === name) as Command;
  if (input !== nothing) {
    const request = validator(`commands:${name}#/$defs/input`);
    expect(request(example.request), `request of ${name}: ${JSON.stringify(request.errors)}`).toBe(true);
  }
  if (!('answer' in example)) return;
  const answer = validator(`commands:${name}#/$defs/output`);
  expect(answer(example.answer), `answer of ${name}: ${JSON.stringify(answer.errors)}`).toBe(true);
}

describe('recorded examples', () => {
  it('are there for every command and workload type', () => {
    expect(Object.keys(recorded.commands).sort()).toEqual([...names].sort());
    expect(Object.keys(recorded.workloads).sort()).toEqual([...workloadTypeNames].sort());
  });

  it.each(Object.entries(recorded.commands))('%s is as its schemas say', (name, example) => {
    expectPublished(name, example);
  });
});

describe.skipIf(!isRoot)('a node', () => {
  it('answers every example', { timeout: 240_000 }, async () => {
    const asked: Examples = await withExampleNode((node, flist) => askEverything(node, recorded, flist));
    const answered = shortened(asked.commands);
    expect(Object.keys(answered).sort()).toEqual([...names].sort());
    for (const [name, example] of Object.entries(answered)) {
      const was = recorded.commands[name] as CommandExample;
      expectPublished(name, asked.commands[name] as CommandExample);
      expect(masked(example.request), `request of ${name}`).toEqual(masked(was.request));
      if (!ofTheMachine.has(name)) expect(outcome(example), name).toEqual(outcome(was));
    }
    for (const [type, example] of Object.entries(asked.workloads)) {
      expect(Object.keys(example), type).toEqual(Object.keys(recorded.workloads[type] ?? {}));
    }
  });
});

/** What has to be the same on every node: the error, or the answer's keys. */
function outcome(example: CommandExample): unknown {
  if ('error' in example) return example.error;
  const { answer } = example;
  return typeof answer === 'object' && answer !== null && !Array.isArray(answer) ? Object.keys(answer) : typeof answer;
}
