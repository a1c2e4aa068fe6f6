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
  const args = ['build', '-buildvcs=false', '-mod=readonly', '-ldflags=-s -w', '-o', `${folder}/`, './cmd/...'];
  await run('go', args, { cwd: import.meta.dirname, deadlineMs: BUILD_DEADLINE_MS });
}
