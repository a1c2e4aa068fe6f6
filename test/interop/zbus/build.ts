/** Builds the Go programs of this folder. */
import { execFileSync } from 'node:child_process';
import { run } from '../../../modules/host/run.ts';

/** The first build on a machine fetches about fifty modules and compiles them on few cores. */
export const BUILD_DEADLINE_MS = 420_000;

/** Whether there is a Go that can build them. */
export const hasGo = ((): boolean => {
  try {
    const [, major, minor] =
      /go(\d+)\.(\d+)/.exec(execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' })) ?? [];
    return Number(major) > 1 || Number(minor) >= 23;
  } catch {
    return false;
  }
})();

/** Puts programs into `folder` under their own names. Go's cache makes every build but the first a matter of seconds. */
export async function buildGoPrograms(folder: string, ...names: ReadonlyArray<'peer' | 'bench'>): Promise<void> {
  await go(['build', '-ldflags=-s -w', '-o', `${folder}/`, ...names.map((name) => `./cmd/${name}`)]);
}

/** Runs `go VERB` in this folder, with the modules that go.sum names; what it wrote. */
export async function go([verb, ...args]: readonly string[], cwd = import.meta.dirname): Promise<string> {
  const { stdout } = await run('go', [verb ?? '', '-buildvcs=false', '-mod=readonly', ...args], {
    cwd,
    deadlineMs: BUILD_DEADLINE_MS,
  });
  return stdout;
}
