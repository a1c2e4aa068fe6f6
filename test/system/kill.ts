/** Kills processes of a test node and waits for what takes their place. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Layout } from '../../cli/node/layout.ts';
import { supervisorOf } from '../../cli/node/lifecycle.ts';
import { run } from '../../modules/host/run.ts';
import type { TestNode } from './test-node.ts';

const BACK_DEADLINE_MS = 90_000;

/** `kill -9` of a unit's process. */
export async function killUnit({ zinit }: TestNode, name: string): Promise<void> {
  await zinit.kill(name, 'SIGKILL');
}

/** Waits until a unit runs with another process than `pid`. */
export async function untilBack({ zinit }: TestNode, name: string, pid: number | undefined): Promise<void> {
  const until = Date.now() + BACK_DEADLINE_MS;
  for (;;) {
    const status = await zinit.status(name);
    if (status.state === 'running' && status.pid !== pid) return;
    if (Date.now() > until) throw new Error(`${name} did not come back: ${status.state} ${status.reason}`);
    await sleep(50);
  }
}

/** Process ids of a node's program, oldest first. */
export async function pidsOf(layout: Layout, program: RegExp): Promise<number[]> {
  const supervisor = await supervisorOf(layout);
  const own = await readlink(`/proc/${supervisor?.pid}/ns/mnt`);
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (!program.test(words[0]?.split('/').at(-1) ?? '')) continue;
    // virtiofsd enters a mount namespace of its own.
    const isOwn = words.some((word) => word.includes(`${layout.state}/`));
    if (isOwn || (await readlink(`/proc/${pid}/ns/mnt`).catch(() => '')) === own) found.push(Number(pid));
  }
  return found.sort((a, b) => a - b);
}

/** Empties the node's Redis. */
export async function flushBus(layout: Layout): Promise<void> {
  await run('redis-cli', ['-s', layout.broker.replace('unix://', ''), 'flushall'], { deadlineMs: 10_000 });
}
