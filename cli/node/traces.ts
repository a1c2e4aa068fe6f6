/** What of a node exists on the host beside its files: the proof that nothing leaks. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { run } from '../../modules/host/run.ts';
import type { Layout } from './layout.ts';

/** What a node leaves that never touched the host: processes and files. One line a finding. */
export async function findOwnTraces({ state }: Layout): Promise<string[]> {
  const found: string[] = [];
  const processes = await listProcesses();
  const asking = ancestors(processes);
  for (const { pid, words } of processes) {
    if (asking.has(pid)) continue;
    if (words.slice(1).some((word) => word.includes(`${state}/`) || word === state)) {
      found.push(`process ${pid}: ${words.join(' ').slice(0, 120)}`);
    }
  }
  if (existsSync(state)) found.push(`folder ${state}`);
  return found;
}

/** One line a finding: processes, mounts, loop devices, links, namespaces, cgroups, files. */
export async function findTraces(layout: Layout): Promise<string[]> {
  const { state, id } = layout;
  const found = await findOwnTraces(layout);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  for (const line of mounts.split('\n')) {
    const place = line.split(' ')[4];
    if (place === state || place?.startsWith(`${state}/`)) found.push(`mount ${place}`);
  }
  const loops = JSON.parse(
    (await run('losetup', ['--json', '--list'], { deadlineMs: 10_000, ownSession: true })).stdout || '{}',
  ) as {
    loopdevices?: { name: string; 'back-file': string }[];
  };
  for (const loop of loops.loopdevices ?? []) {
    if (loop['back-file'].startsWith(`${state}/`)) found.push(`loop device ${loop.name} on ${loop['back-file']}`);
  }
  const links = JSON.parse((await run('ip', ['-j', 'link'], { deadlineMs: 10_000, ownSession: true })).stdout) as {
    ifname: string;
  }[];
  for (const { ifname } of links) if (ifname.includes(id)) found.push(`interface ${ifname}`);
  for (const name of await readdir('/run/netns').catch(() => [])) {
    if (name.includes(id)) found.push(`network namespace ${name}`);
  }
  const groups = await readdir('/sys/fs/cgroup', { recursive: true }).catch(() => []);
  for (const group of groups) if (group.split('/').at(-1)?.includes(id)) found.push(`cgroup ${group}`);
  return found;
}

interface ProcessLine {
  readonly pid: number;
  readonly parent: number;
  readonly words: readonly string[];
}

/** Every process that can be seen: from `/proc`, and by `ps` where there is none. */
async function listProcesses(): Promise<ProcessLine[]> {
  if (process.platform !== 'linux') {
    const { stdout } = await run('ps', ['-axo', 'pid=,ppid=,command='], { deadlineMs: 10_000, ownSession: true });
    return stdout
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => {
        const [pid, parent, ...words] = line.trim().split(/\s+/);
        return { pid: Number(pid), parent: Number(parent), words };
      });
  }
  const found: ProcessLine[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0);
    found.push({ pid: Number(pid), parent, words });
  }
  return found;
}

/** This process and those that started it: they name the folder because they ask about it. */
function ancestors(processes: readonly ProcessLine[]): Set<number> {
  const parents = new Map(processes.map(({ pid, parent }) => [pid, parent]));
  const found = new Set<number>();
  for (let pid = process.pid; pid > 1 && !found.has(pid); pid = parents.get(pid) ?? 0) found.add(pid);
  return found;
}
