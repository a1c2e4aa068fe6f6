/**
 * What an idle node weighs, process by process: proportional set size in MiB.
 * A page that several processes map counts for each in part, also where some
 * of them are not the node's; `daemons_alone_mib` is the node's sum where no
 * other program runs on the same Node.js.
 */
import { readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { supervisorOf } from '../../cli/node/lifecycle.ts';
import { withNode } from './peers/node.ts';

/** Daemons give back what loading took after some calm. */
const SETTLE_MS = 6_000;
/** Development only: a node of the grid has none of them. */
const NOT_OF_THE_NODE = new Set(['chain', 'relay', 'web']);

interface Weight {
  readonly proportional: number;
  /** Memory that belongs to no file, so to this process alone. */
  readonly own: number;
  /** Pages of files, as programs and libraries, however many share them. */
  readonly files: number;
  readonly program: string;
}

async function weigh(pid: number): Promise<Weight> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const mib = (text: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) / 1024;
  return {
    proportional: mib(rollup, 'Pss'),
    own: mib(rollup, 'Pss_Anon') + mib(rollup, 'Pss_Shmem'),
    files: mib(status, 'RssFile'),
    program: await readlink(`/proc/${pid}/exe`),
  };
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  return withNode({}, async (node) => {
    await sleep(SETTLE_MS);
    const metrics: Record<string, number> = { daemons_mib: 0, daemons_alone_mib: 0 };
    const files = new Map<string, number>();
    const add = (name: string, mib: number): void => {
      metrics[name] = (metrics[name] ?? 0) + mib;
    };
    const supervisor = await supervisorOf(node.layout);
    const processes = [...(await node.zinit.list()), { name: 'zinit', pid: supervisor?.pid }];
    for (const { name, pid } of processes) {
      if (pid === undefined) throw new Error(`${name} does not run`);
      const weight = await weigh(pid);
      metrics[`${name}_mib`] = weight.proportional;
      if (NOT_OF_THE_NODE.has(name)) continue;
      add('daemons_mib', weight.proportional);
      add('daemons_alone_mib', weight.own);
      files.set(weight.program, Math.max(files.get(weight.program) ?? 0, weight.files));
    }
    // Processes of one program map the same pages of it.
    for (const mib of files.values()) add('daemons_alone_mib', mib);
    for (const name of Object.keys(metrics)) metrics[name] = Math.round((metrics[name] ?? 0) * 10) / 10;
    return { name: 'memory', metrics };
  });
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
