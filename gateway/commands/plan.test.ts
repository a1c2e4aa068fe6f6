import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { deploymentOperations, deploymentWait, parseOutput, WAIT_SECONDS } from '../../schemas/index.ts';
import { DEFAULT_DOOR_LIMITS } from '../door/limits.ts';
import { publishedLimits } from '../door/published-limits.ts';
import { COMMAND_DEADLINE_MS, Dispatcher } from './dispatch.ts';
import type { Node } from './handler.ts';
import { handlers } from './index.ts';

const around = { requireEncryption: false, twinCacheMs: 0, commandDeadlineMs: COMMAND_DEADLINE_MS, nowSeconds: 0 };

describe('zos.deployment.wait', () => {
  const asked: { readonly args: unknown; readonly deadlineMs: number }[] = [];
  const told: unknown[] = [];
  let operations: object[] = [];
  const planner = {
    Wait: async (args: unknown, { deadlineMs }: { readonly deadlineMs: number }) => {
      asked.push({ args, deadlineMs });
      return { Settled: false, OK: false, Version: 3, Step: 'queued', Workloads: [] };
    },
    Operations: async (args: unknown) => {
      told.push(args);
      return operations;
    },
  };
  const dispatcher = new Dispatcher({
    handlers,
    node: { planner } as unknown as Node,
    limits: () => publishedLimits(DEFAULT_DOOR_LIMITS, around),
    log: pino({ level: 'silent' }),
  });
  const wait = (payload: object) =>
    dispatcher.answer({ command: deploymentWait.name, payload: Buffer.from(JSON.stringify(payload)), twin: 7 });

  it('waits as long as it is told, within bounds that leave time for the answer', async () => {
    expect(await wait({ contract_id: 5 })).toEqual({
      kind: 'response',
      payload: '{"settled":false,"ok":false,"version":3,"step":"queued","workloads":[]}',
    });
    await wait({ contract_id: 5, version: 2, timeout_seconds: 3 });
    await wait({ contract_id: 5, timeout_seconds: 4_294_967_295 });
    expect(asked.map(({ args }) => args)).toEqual([
      { twin: 7, contractID: 5n, version: 0, timeoutMs: WAIT_SECONDS.usual * 1000 },
      { twin: 7, contractID: 5n, version: 2, timeoutMs: 3_000 },
      { twin: 7, contractID: 5n, version: 0, timeoutMs: WAIT_SECONDS.most * 1000 },
    ]);
    for (const { deadlineMs } of asked) expect(deadlineMs).toBeLessThan(COMMAND_DEADLINE_MS);
  });

  it('says what the node works on for it, and what was asked last when nothing is under way', async () => {
    const made = (ID: string, State: string, EndedAt: number): object => ({
      ...{ ID, Kind: 'create', State, TwinID: 7, ContractID: 5n, Workload: '', Version: 0, AskedAt: 1_000 },
      ...{ StartedAt: 1_001, EndedAt, Attempts: 2, Crashes: 1, LastError: 'no room', Reason: '', Trace: 'abc' },
      ...{ QueuePosition: 0, Steps: [{ Workload: 'vm', Step: 'disk', State: 'started', Message: '', At: 1_002 }] },
    });
    operations = [made('op-1', 'running', 0), made('op-2', 'superseded', 1_500)];
    const read = async () => {
      const answer = await wait({ contract_id: 5 });
      return parseOutput(deploymentWait, answer.kind === 'response' ? answer.payload : '');
    };
    expect((await read()).operation).toEqual({
      ...{ id: 'op-1', kind: 'create', state: 'running', contract_id: 5n, version: 0, workload: '', queue_position: 0 },
      ...{
        asked_at: 1_000,
        started_at: 1_001,
        ended_at: 0,
        attempts: 2,
        crashes: 1,
        last_error: 'no room',
        reason: '',
      },
      ...{ trace: 'abc', steps: [{ workload: 'vm', step: 'disk', state: 'started', message: '', at: 1_002 }] },
    });
    operations = [made('op-1', 'done', 1_400), made('op-2', 'done', 1_500)];
    expect((await read()).operation?.id).toBe('op-2');
    expect(told.at(-1)).toEqual({ twin: 7, contractID: 5n });
    operations = [];
  });

  it('lists operations of nobody but the twin that signed, never those of all', async () => {
    for (const payload of ['', '{"contract_id":0}', '{"contract_id":5,"twin":0,"twin_id":0}'])
      await dispatcher.answer({ command: deploymentOperations.name, payload: Buffer.from(payload), twin: 7 });
    expect(told.slice(-3)).toEqual([
      { twin: 7, contractID: 0n },
      { twin: 7, contractID: 0n },
      { twin: 7, contractID: 5n },
    ]);
  });

  it('acts for nobody but the twin that signed', async () => {
    asked.length = 0;
    await wait({ contract_id: 5, twin: 1, twin_id: 1 });
    expect(asked[0]?.args).toMatchObject({ twin: 7 });
  });
});
