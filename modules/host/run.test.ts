import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HostCommandError, run } from './run.ts';

describe('a host program', () => {
  it('gives what it printed, and its words where it fails', async () => {
    expect(await run('sh', ['-c', 'cat; echo err >&2'], { deadlineMs: 20_000, input: 'in' })).toEqual({
      stdout: 'in',
      stderr: 'err\n',
    });
    await expect(run('sh', ['-c', 'echo no >&2; exit 3'], { deadlineMs: 20_000 })).rejects.toMatchObject({
      reason: 'exit',
      exitCode: 3,
      stderr: 'no\n',
    });
    await expect(run('/no/such/program', [], { deadlineMs: 5000 })).rejects.toMatchObject({ reason: 'missing' });
  });

  it('is not waited for longer than its deadline, even where a child of its own keeps its output open', async () => {
    const since = performance.now();
    const late = run('sh', ['-c', 'sleep 20 & wait'], { deadlineMs: 200 });
    await expect(late).rejects.toSatisfy((error) => error instanceof HostCommandError && error.reason === 'deadline');
    expect(performance.now() - since).toBeLessThan(15_000);
  });

  it('that cannot be started for want of descriptors is a failure, not the end of the caller', async () => {
    const program = `
      import { openSync } from 'node:fs';
      import { command } from ${JSON.stringify(join(import.meta.dirname, '../wireguard/command.ts'))};
      import { run } from ${JSON.stringify(join(import.meta.dirname, 'run.ts'))};
      try { for (;;) openSync('/dev/null', 'r'); } catch {}
      const reasons = [];
      for (const start of [() => run('true', [], { deadlineMs: 1000 }), () => command(['true'])]) {
        await start().catch((error) => reasons.push(error.message.includes('EMFILE')));
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      console.log(JSON.stringify(reasons));
    `;
    const words = ['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', program];
    expect((await run('sh', words, { deadlineMs: 25_000 })).stdout.trim()).toBe('[true,true]');
  });

  it('is killed where it prints without end', async () => {
    await expect(run('yes', [], { deadlineMs: 20_000 })).rejects.toMatchObject({ reason: 'output' });
  });

  it('ends with its caller’s wish', async () => {
    const stop = AbortSignal.timeout(100);
    await expect(run('sleep', ['4'], { deadlineMs: 5000, signal: stop })).rejects.toMatchObject({ reason: 'aborted' });
  });
});
