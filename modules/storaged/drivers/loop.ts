/** Loop devices, found by the file behind them: their numbers mean nothing across a restart. */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { run } from '../../host/run.ts';

const DEADLINE_MS = 20_000;

/** Loop devices with the path of the file behind each, `/dev/loop3` → path. */
export function listLoops(): Map<string, string> {
  const loops = new Map<string, string>();
  for (const name of readdirSync('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    try {
      const file = readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trimEnd();
      loops.set(`/dev/${name}`, file.replace(/ \(deleted\)$/, ''));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return loops;
}

/** The loop device of a file, attached when there is none; never two for one file. */
export async function attachLoop(file: string): Promise<string> {
  const real = realpathSync(file);
  for (const [device, backing] of listLoops()) if (backing === real) return device;
  const { stdout } = await run('losetup', ['--find', '--nooverlap', '--show', real], { deadlineMs: DEADLINE_MS });
  const device = stdout.trim();
  // Saves the second copy in the page cache; not every file system under the file can do it.
  await run('losetup', ['--direct-io=on', device], { deadlineMs: DEADLINE_MS }).catch(() => undefined);
  return device;
}

/** Makes the device as large as its file has become. */
export async function refreshLoop(device: string): Promise<void> {
  await run('losetup', ['--set-capacity', device], { deadlineMs: DEADLINE_MS });
}

export async function detachLoop(device: string): Promise<void> {
  await run('losetup', ['--detach', device], { deadlineMs: DEADLINE_MS });
}
