/** What machines of a state folder left on the host: for tests that want nothing. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Paths } from '../paths.ts';

/** One line for each process, file, lock and control group that belongs to a machine. */
export async function leftovers(state: string): Promise<string[]> {
  const paths = new Paths(state);
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const words = line.split('\0');
    const ours = words.some((word) => word.includes(`${paths.runtimes}/`) || word.includes(`${paths.logs}/`));
    if (ours) found.push(`process ${pid} ${words.slice(0, 2).join(' ')}`);
  }
  for (const folder of [paths.records, paths.logs, paths.runtimes]) {
    for (const name of await readdir(folder).catch(() => [])) found.push(join(folder, name));
  }
  const lockMark = paths.runtimes.replaceAll('/', '.');
  for (const name of await readdir('/var/run/virtiofsd').catch(() => [])) {
    if (name.startsWith(lockMark)) found.push(`lock ${name}`);
  }
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  const mount = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
  if (mount !== undefined) {
    const items = await readdir(join(mount, paths.group), { withFileTypes: true }).catch(() => []);
    for (const item of items) if (item.isDirectory()) found.push(`control group ${item.name}`);
  }
  return found;
}
