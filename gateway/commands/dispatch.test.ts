import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { type Command, defineCommand, findCommand, limitsGet, nothing, parseOutput } from '../../schemas/index.ts';
import { DEFAULT_DOOR_LIMITS } from '../door/limits.ts';
import { publishedLimits } from '../door/published-limits.ts';
import { Dispatcher, type TableCheck } from './dispatch.ts';
import type { Handler, Node } from './handler.ts';
import { handlers as all } from './index.ts';

const log = pino({ level: 'silent' });
const nullPayload = Buffer.from('null');

const limits = () =>
  publishedLimits(DEFAULT_DOOR_LIMITS, {
    requireEncryption: false,
    twinCacheMs: 300_000,
    commandDeadlineMs: 60_000,
    nowSeconds: 1_700_000_000,
  });

function handlersOf(run: Handler['run'], change: Partial<Command> = {}): ReadonlyMap<string, Handler> {
  const command = {
    ...defineCommand({ name: 'x.y', summary: '', caller: 'any', input: nothing, output: nothing }),
    ...change,
  };
  return new Map([[command.name, { command: command as Command, run }]]);
}

function dispatcher(handlers: ReadonlyMap<string, Handler>, deadlineMs = 60_000) {
  const refused: [TableCheck, string][] = [];
  const node = {
    chain: { Node: async () => ({ NodeID: 1, TwinID: 1, FarmID: 1, FarmerTwinID: 5 }) },
  } as unknown as Node;
  return {
    refused,
    it: new Dispatcher({
      handlers,
      node,
      limits,
      log,
      deadlineMs,
      onRefused: (check, { code }) => refused.push([check, code]),
    }),
  };
}

describe('the dispatcher', () => {
  it('publishes every limit in the shape of its schema', async () => {
    const answer = await dispatcher(all).it.answer({ command: 'zos.limits.get', payload: nullPayload, twin: 7 });
    if (answer.kind !== 'response') throw new Error(answer.message);
    expect(parseOutput(limitsGet, answer.payload)).toEqual(limits());
    expect(limits()).toMatchObject({
      envelope: { size_bytes: 2_097_152, payload_bytes: 1_310_720, uid_characters: 128 },
      clock: { now: 1_700_000_000, lifetime_seconds: 3600, ahead_seconds: 60 },
      twins: { cache_seconds: 300 },
      command: { deadline_seconds: 60, input_bytes: 65_536, deployment_bytes: 1_048_576 },
    });
  });

  it('counts what no handler saw, by why', async () => {
    const { it: table, refused } = dispatcher(
      new Map([...all, ...handlersOf(async () => null, { name: 'farm.only', caller: 'farmer' })]),
    );
    const ask = (command: string, payload: string, twin = 7) =>
      table.answer({ command, payload: Buffer.from(payload), twin });
    expect(await ask('rmb.version', 'null')).toMatchObject({
      kind: 'error',
      code: 0,
      message: 'function is not found',
    });
    expect(await ask('farm.only', 'null')).toMatchObject({ kind: 'error', code: 0, message: 'unauthorized' });
    expect(await ask('farm.only', 'null', 5)).toMatchObject({ kind: 'response' });
    expect(await ask('zos.deployment.get', '{')).toMatchObject({ kind: 'error', code: 2003 });
    expect(findCommand('rmb.version')).toBeUndefined();
    expect(refused).toEqual([
      ['command', 'command_unknown'],
      ['caller', 'command_unauthorized'],
      ['schema', 'payload_invalid'],
    ]);
  });

  it('refuses to delete a deployment, whatever is sent, in the words of nodes', async () => {
    for (const payload of ['null', '', '{"contract_id":1}']) {
      const answer = await dispatcher(all).it.answer({
        command: 'zos.deployment.delete',
        payload: Buffer.from(payload),
        twin: 7,
      });
      const message = 'deletion over the api is disabled, please cancel your contract instead';
      expect(answer).toMatchObject({ kind: 'error', message });
    }
  });

  it('takes an empty payload for none where clients send none', async () => {
    const list = { payload: Buffer.alloc(0), command: 'zos.debug.deployment.list', twin: 7 };
    const asked: unknown[] = [];
    const provision = { List: async (args: unknown) => asked.push(args) && [], ListTwins: async () => [3, 1] };
    const admins = new Dispatcher({
      handlers: all,
      node: { provision } as unknown as Node,
      limits,
      log,
      admins: () => new Set([7]),
    });
    expect(await admins.answer(list)).toEqual({ kind: 'response', payload: '{"deployments":[]}' });
    expect(asked).toEqual([{ twin: 1 }, { twin: 3 }]);
    expect(await admins.answer({ ...list, command: 'zos.debug.deployment.get' })).toMatchObject({ code: 2003 });
  });

  it('answers in time for a handler that stops when told and for one that never ends', async () => {
    const text = 'x.y was not finished within 50 ms; ask again; what was accepted goes on';
    const obeys = dispatcher(
      handlersOf((_input, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', reject))),
      50,
    );
    const deaf = dispatcher(
      handlersOf(() => new Promise(() => undefined)),
      50,
    );
    for (const { it: table } of [obeys, deaf]) {
      const answer = await table.answer({ command: 'x.y', payload: nullPayload, twin: 7 });
      expect(answer).toMatchObject({ kind: 'error', code: 1201, message: text });
    }
  });
});
