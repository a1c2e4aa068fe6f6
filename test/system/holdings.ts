/** Everything that a deployment makes on a node, one line each, so that before and after can be compared. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { added, inventory } from '../../cli/node/inventory.ts';
import type { Layout } from '../../cli/node/layout.ts';
import { supervisorOf } from '../../cli/node/lifecycle.ts';
import { run } from '../../modules/host/run.ts';

const DEADLINE_MS = 10_000;
const REST_DEADLINE_MS = 60_000;

/** Folders of daemons that hold a file for each thing they made. */
const RECORDS = [
  ...['vmd/vms', 'vmd/logs', 'run/vm', 'flistd/mounts', 'flistd/mnt', 'flistd/cache/fetched'],
  ...['networkd/networks', 'networkd/wireguard'],
];

/** Interfaces, namespaces, mounts, processes, firewall, cgroups, volumes, disks, records. */
export async function holdings(layout: Layout): Promise<string[]> {
  const supervisor = await supervisorOf(layout);
  if (supervisor === undefined) return ['no supervisor'];
  const { pid } = supervisor;
  const found = await inventory(layout);
  for (const folder of RECORDS) {
    for (const name of await readdir(join(layout.state, folder)).catch(() => [])) found.push(`${folder}/${name}`);
  }
  const pools = `/proc/${pid}/root${layout.state}/pools`;
  for (const pool of await readdir(pools).catch(() => [])) {
    for (const name of await readdir(join(pools, pool)).catch(() => [])) {
      // storaged's own folder for disks comes with the first disk and stays.
      if (name !== 'vdisks') {
        found.push(`volume ${name}`);
        continue;
      }
      for (const disk of await readdir(join(pools, pool, name)).catch(() => [])) found.push(`disk ${disk}`);
    }
  }
  const rules = await run('nsenter', ['--target', `${pid}`, '--net', 'nft', '--stateless', 'list', 'ruleset'], {
    deadlineMs: DEADLINE_MS,
  });
  for (const line of rules.stdout.split('\n')) if (line.trim() !== '') found.push(`rule ${line.trim()}`);
  for (const name of await readdir('/sys/fs/cgroup', { recursive: true }).catch(() => [])) {
    if (name.includes(layout.id)) found.push(`cgroup ${name}`);
  }
  found.push(...(await programs(pid)));
  return found.sort();
}

/** Programs in the node's mount namespace. */
async function programs(supervisor: number): Promise<string[]> {
  const own = await readlink(`/proc/${supervisor}/ns/mnt`);
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || (await readlink(`/proc/${pid}/ns/mnt`).catch(() => '')) !== own) continue;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const state = (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')).replace(/^.*\) /s, '').charAt(0);
    const name = words[0]?.split('/').at(-1) ?? '';
    found.push(state === 'Z' ? `zombie ${pid}` : `program ${name.split(' ')[0]}`);
  }
  return found;
}

/** What a node holds that nothing is asked of. A program that a daemon runs in passing is nothing it holds. */
export async function restingHoldings(layout: Layout): Promise<string[]> {
  const until = Date.now() + REST_DEADLINE_MS;
  for (let before: string[] = []; ; ) {
    const now = await holdings(layout).catch((error: Error) => [error.message]);
    if (before.length > 0 && added(before, now).length === 0 && added(now, before).length === 0) return now;
    if (Date.now() > until) throw new Error(`the node does not come to rest: ${added(before, now).join(', ')}`);
    before = now;
    await sleep(500);
  }
}

/** Waits until the node holds what it held before; the difference when it never does. */
export async function differenceTo(
  before: readonly string[],
  layout: Layout,
  deadlineMs = 30_000,
): Promise<{ readonly more: string[]; readonly less: string[] }> {
  const until = Date.now() + deadlineMs;
  for (;;) {
    // A process may end between being listed and being looked at; then it is looked again.
    const now = await holdings(layout).catch((error: Error) => [error.message]);
    const difference = { more: added(before, now), less: added(now, before) };
    if ((difference.more.length === 0 && difference.less.length === 0) || Date.now() > until) return difference;
    await sleep(200);
  }
}
