import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { deploymentWait, WAIT_SECONDS } from '../../schemas/index.ts';
import { DEFAULT_DOOR_LIMITS } from '../door/limits.ts';
import { publishedLimits } from '../door/published-limits.ts';
import { COMMAND_DEADLINE_MS, Dispatcher } from './dispatch.ts';
import type { Node } from './handler.ts';
import { handlers } from './index.ts';

const around = { requireEncryption: false, twinCacheMs: 0, commandDeadlineMs: COMMAND_DEADLINE_MS, nowSeconds: 0 };

describe('zos.deployment.wait', () => {
  const asked: { readonly args: unknown; readonly deadlineMs: number }[] = [];
  const planner = {
    Wait: async (args: unknown, { deadlineMs }: { readonly deadlineMs: number }) => {
      asked.push({ args, deadlineMs });
      return { Settled: false, OK: false, Version: 3, Step: 'queued', Workloads: [] };
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

  it('acts for nobody but the twin that signed', async () => {
    asked.length = 0;
    await wait({ contract_id: 5, twin: 1, twin_id: 1 });
    expect(asked[0]?.args).toMatchObject({ twin: 7 });
  });
});
