import { describe, expect, it } from 'vitest';
import { formatOutput, systemDiagnostics } from '../../schemas/index.ts';
import { diagnosticsHandlers } from './diagnostics.ts';
import type { Call, Node } from './handler.ts';

const STARTED = { seconds: 1_764_000_000n, nanoseconds: 120_000_000 };

/** A node whose health check found this, and whose module `vmd` may be silent. */
async function diagnose(result: () => Promise<{ Result: unknown }>, silent?: string) {
  const node = {
    status: async (module: string) => {
      if (module === silent) throw new Error('silent');
      return {
        Objects: [{ Name: module, Version: '0.0.1' }],
        Workers: [{ State: 'free', StartTime: STARTED, Action: '' }],
      };
    },
    performance: { Get: result },
  } as unknown as Node;
  const call = { node, signal: new AbortController().signal } as unknown as Call;
  const found = await diagnosticsHandlers[0]?.run(null, call);
  return JSON.parse(formatOutput(systemDiagnostics, found as never));
}

describe('diagnostics', () => {
  it.each([
    ['nothing found', { cache: [], network: null }, true],
    ['nothing looked at', {}, true],
    ['nothing found, as the bus carries maps', new Map([['cache', []]]), true],
    ['something found', { cache: [], network: ['cannot reach the hub'] }, false],
    ['what is no result', 'broken', false],
    ['no list', { cache: 'full' }, false],
  ])('are healthy by the last check: %s', async (_name, Result, healthy) => {
    expect((await diagnose(async () => ({ Result }))).healthy).toBe(healthy);
  });

  it('are not healthy before a check has run', async () => {
    const answer = await diagnose(() => Promise.reject(new Error('result not found')));
    expect(answer).toMatchObject({ healthy: false, system_status_ok: true });
    expect(answer.modules.storage).toEqual({
      status: {
        objects: [{ Name: 'storage', Version: '0.0.1' }],
        workers: [{ state: 'free', time: '2025-11-24T16:00:00.12Z', action: '' }],
      },
    });
  });

  it('show a silent module by an empty error', async () => {
    const answer = await diagnose(async () => ({ Result: {} }), 'vmd');
    expect(answer.system_status_ok).toBe(false);
    expect(answer.modules.vmd).toEqual({ status: { objects: [], workers: [] }, error: {} });
    expect(answer.modules.flist).not.toHaveProperty('error');
  });
});
