/** Builds the Go programs of this folder. */
import { execFileSync } from 'node:child_process';
import { run } from '../../../modules/host/run.ts';

/** The first build on a machine fetches about thirty modules and compiles them on few cores. */
const BUILD_DEADLINE_MS = 420_000;

/** Whether there is a Go that can build them. */
export const hasGo = ((): boolean => {
  try {
    const [, major, minor] =
      /go(\d+)\.(\d+)/.exec(execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' })) ?? [];
    return Number(major) > 1 || Number(minor) >= 21;
  } catch {
    return false;
  }
})();

/** Puts `peer` and `client` into `folder`. Go's own cache makes every build but the first a matter of seconds. */
export async function buildGoPrograms(folder: string): Promise<void> {
  await go('build', '-o', `${folder}/`, './cmd/...');
}

/** Puts the chain client's own tests into `file`. */
export async function buildChainTests(file: string): Promise<void> {
  await go('test', '-c', '-o', file, 'github.com/threefoldtech/tfchain/clients/tfchain-client-go');
}

async function go(verb: 'build' | 'test', ...args: string[]): Promise<void> {
  const flags = ['-buildvcs=false', '-mod=readonly', '-ldflags=-s -w'];
  await run('go', [verb, ...flags, ...args], { cwd: import.meta.dirname, deadlineMs: BUILD_DEADLINE_MS });
}
