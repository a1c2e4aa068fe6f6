/** Builds the Go program of this folder. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** The first build on a machine fetches 38 MB of modules and compiles them on few cores. */
const BUILD_DEADLINE_MS = 420_000;
/** Fetching what is not there yet. */
const FETCH_DEADLINE_MS = 120_000;

/** Why the program cannot be built here: no Go, an old one, modules that cannot be had. Undefined where it can. */
export async function reasonNotToBuild(): Promise<string | undefined> {
  try {
    const [, major, minor] = /go(\d+)\.(\d+)/.exec(await go('env', 'GOVERSION')) ?? [];
    if (Number(major) === 1 && Number(minor) < 21) return `Go 1.${minor} is older than 1.21`;
    await go('list', '-mod=readonly', '-deps', '.');
    return undefined;
  } catch (error) {
    const { code, stderr } = error as { code?: string | number; stderr?: string };
    return code === 'ENOENT' ? 'there is no Go' : `go: ${stderr?.trim().split('\n').at(-1) ?? code}`;
  }
}

/** Puts the program into `file`. Go's own cache makes every build but the first a matter of seconds. */
export async function buildGridGo(file: string): Promise<void> {
  await go('build', '-buildvcs=false', '-mod=readonly', '-ldflags=-s -w', '-o', file, '.');
}

async function go(verb: string, ...args: string[]): Promise<string> {
  const timeout = verb === 'build' ? BUILD_DEADLINE_MS : FETCH_DEADLINE_MS;
  const { stdout } = await run('go', [verb, ...args], { cwd: import.meta.dirname, timeout, maxBuffer: 1 << 24 });
  return stdout;
}
