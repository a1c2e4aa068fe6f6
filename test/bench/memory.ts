/** What an idle node weighs, process by process: proportional set size in MiB. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { supervisorOf } from '../../cli/node/lifecycle.ts';
import { startTestNode } from '../system/test-node.ts';

const SETTLE_MS = 5_000;
/** Development only: a node of the grid has neither. */
const NOT_OF_THE_NODE = new Set(['chain', 'relay']);

async function proportionalMiB(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) / 1024;
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const node = await startTestNode();
  try {
    await sleep(SETTLE_MS);
    const metrics: Record<string, number> = { daemons_mib: 0 };
    const supervisor = await supervisorOf(node.layout);
    const processes = [...(await node.zinit.list()), { name: 'zinit', pid: supervisor?.pid }];
    for (const { name, pid } of processes) {
      if (pid === undefined) throw new Error(`${name} does not run`);
      const weight = await proportionalMiB(pid);
      metrics[`${name}_mib`] = weight;
      if (!NOT_OF_THE_NODE.has(name)) metrics.daemons_mib = (metrics.daemons_mib ?? 0) + weight;
    }
    return { name: 'memory', metrics };
  } finally {
    await node.stop();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) console.log(JSON.stringify(await bench()));
