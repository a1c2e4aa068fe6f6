/** What exists in a node's namespaces, so that two moments can be compared. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { run } from '../../modules/host/run.ts';
import type { Layout } from './layout.ts';
import { supervisorOf } from './lifecycle.ts';

const DEADLINE_MS = 10_000;

/** One line an object: interfaces, namespaces, mounts, processes, rules, cgroups, loop devices. */
export async function inventory(layout: Layout): Promise<string[]> {
  const supervisor = await supervisorOf(layout);
  if (supervisor === undefined) return [];
  const { pid } = supervisor;
  const inside = ['--target', `${pid}`, '--net', '--mount', '--root'];
  const found: string[] = [];
  const links = await run('nsenter', [...inside, 'ip', '-j', 'link'], { deadlineMs: DEADLINE_MS });
  for (const { ifname } of JSON.parse(links.stdout) as { ifname: string }[]) found.push(`interface ${ifname}`);
  for (const name of await readdir(`/proc/${pid}/root/run/netns`).catch(() => [])) found.push(`namespace ${name}`);
  const tables = await run('nsenter', [...inside, 'nft', 'list', 'tables'], { deadlineMs: DEADLINE_MS });
  for (const line of tables.stdout.split('\n').filter(Boolean)) found.push(`rules ${line}`);
  for (const line of (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).split('\n')) {
    const place = line.split(' ')[4] ?? '';
    if (place.startsWith(`${layout.state}/`)) found.push(`mount ${place}`);
  }
  for (const process of await readdir('/proc')) {
    if (!/^\d+$/.test(process)) continue;
    const words = (await readFile(`/proc/${process}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const program = words[0]?.split('/').at(-1) ?? '';
    if (!/^(qemu-system|virtiofsd|wireguard-go)/.test(program)) continue;
    const place = words.find((word) => word.includes(`${layout.state}/`));
    // virtiofsd enters a namespace of its own, and says what it serves; wireguard-go says nothing and stays.
    if (place !== undefined || (await sameMountNamespace(process, pid))) {
      found.push(`process ${program} ${place ?? words[2] ?? ''}`);
    }
  }
  return found.sort();
}

async function sameMountNamespace(a: string, b: number): Promise<boolean> {
  const [one, two] = await Promise.all([a, `${b}`].map((pid) => readlink(`/proc/${pid}/ns/mnt`).catch(() => pid)));
  return one === two;
}

/** Lines of `after` that `before` does not have, counting repeats. */
export function added(before: readonly string[], after: readonly string[]): string[] {
  const rest = [...before];
  return after.filter((line) => {
    const at = rest.indexOf(line);
    if (at < 0) return true;
    rest.splice(at, 1);
    return false;
  });
}
