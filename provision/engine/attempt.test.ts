import { stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ZbusError } from '../../modules/zbus/errors.ts';
import { GridError, isGridError } from '../../schemas/errors/index.ts';
import type { Step } from '../workloads/workload.ts';
import { attemptStep } from './attempt.ts';

const budget = { budgetMs: 0, firstDelayMs: 1, maxDelayMs: 1 };
const never = new AbortController().signal;

/** What a tenant and what the log is told of a step that fails so. */
async function told(failure: unknown): Promise<{ tenant: string; log: string; cause: unknown }> {
  const step: Step = {
    name: 'disk',
    stage: 'storage',
    deadlineMs: 1000,
    ensure: () => Promise.reject(failure),
    undo: () => Promise.resolve(),
  };
  const heard: string[] = [];
  const error = await attemptStep('d', step, budget, {
    signal: never,
    inPlace: (attempt) => attempt(),
    pause: () => Promise.resolve(),
    heard: (_, text) => void heard.push(text),
  }).catch((one: unknown) => one);
  if (!isGridError(error)) throw error;
  return { tenant: error.message, log: heard.at(-1) ?? '', cause: error.cause };
}

const path = '/srv/a node/state/pools/p/vdisks/1-2-d';
const notThere = await stat(path).catch((error: unknown) => error);

describe('a failed step', () => {
  it.each([
    ['a daemon’s unexpected error', new ZbusError('call_failed', `fallocate --length 5 ${path} ended with status 1`)],
    ['a code that nobody knows', new ZbusError('call_failed', path, { remote: { code: 'EIO', details: {} } })],
    ['this process’ own trouble with a file', notThere],
  ])('tells the tenant nothing of the host: %s', async (_, failure) => {
    const { tenant, log, cause } = await told(failure);
    expect(tenant).toMatch(
      /^the node failed in a way it did not foresee, its log says how \(stage storage, step 'disk'/,
    );
    expect(log).toContain(path);
    expect(cause).toBe(failure);
  });

  it('tells the tenant what was foreseen', async () => {
    const details = { requested: 5, devices: 0 };
    const coded = new GridError('storage_no_free_device', details);
    const remote = { code: coded.code, details };
    expect((await told(new ZbusError('call_failed', coded.message, { remote }))).tenant).toContain(coded.message);
    expect((await told(new ZbusError('no_such_module', 'nobody serves storage'))).tenant).toContain('nobody serves');
    expect((await told(new Error('/boot/vmlinuz of the image is larger than 5 bytes'))).tenant).toContain(
      'larger than',
    );
    expect((await told(coded)).tenant).toBe(coded.message);
  });
});
