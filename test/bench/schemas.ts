/**
 * What reading deployments costs: text to structure, checked, to its hash. Taken by processor time,
 * the collector's threads included, so that it is the same on a machine that does other things;
 * `small_parse_ratio` is the same in times of `JSON.parse` alone on the same text.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { rolldown } from 'rolldown';
import { deploymentHash, GridError, parseDeployment, validateDeployment } from '../../schemas/index.ts';
import { badInputs } from '../../schemas/testing/bad-input.ts';

const ROUNDS = 10;
const LOADS = 7;
const SOURCE = join(import.meta.dirname, '../../schemas/index.ts');

interface Vector {
  readonly name: string;
  readonly deployment: { readonly workloads: readonly object[] };
}
const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, '../vectors/deployment.json'), 'utf8')) as {
  cases: readonly Vector[];
};

function vector(name: string): Vector['deployment'] {
  const found = cases.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no vector ${name}`);
  return found.deployment;
}

/** Network, disk, address and machine, as a client sends them. */
function smallText(): string {
  const { workloads, ...deployment } = vector('network_zmount_zmachine');
  return JSON.stringify({ ...deployment, workloads: workloads.slice(0, 4) });
}

/** Disks and machines, two by two. */
function largeText(): string {
  const { workloads, ...deployment } = vector('ts_client_vm');
  const [disk, , machine] = workloads as { name: string; data: { network?: object } }[];
  if (disk === undefined || machine === undefined) throw new Error('the vector has changed');
  const pair = (i: number): object[] => [
    { ...disk, name: `disk${i}` },
    { ...machine, name: `vm${i}`, data: { ...machine.data, network: { ...machine.data.network, public_ip: '' } } },
  ];
  return JSON.stringify({ ...deployment, workloads: Array.from({ length: 100 }, (_, i) => pair(i)).flat() });
}

function readAndHash(text: string | Uint8Array): string {
  const deployment = parseDeployment(text);
  validateDeployment(deployment);
  return deploymentHash(deployment);
}

/** Processor milliseconds of one run, all threads of the process, in the best of several rounds. */
function costMs(run: () => unknown, runs: number): number {
  for (let i = 0; i < runs; i++) run();
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const began = process.cpuUsage();
    for (let i = 0; i < runs; i++) run();
    const { user, system } = process.cpuUsage(began);
    best = Math.min(best, (user + system) / 1000 / runs);
  }
  return best;
}

/** The most processor milliseconds that the refusal of any bad input takes. */
function worstRefusalMs(): number {
  const costs = badInputs.map(({ text }) => {
    const given = text();
    return costMs(() => refuse(given), 1);
  });
  return Math.max(...costs);
}

function refuse(text: string | Uint8Array): void {
  try {
    readAndHash(text);
  } catch (error) {
    if (error instanceof GridError) return;
    throw error;
  }
  throw new Error('bad input was accepted');
}

/** Milliseconds a fresh process takes for a module, the best of several: its files must have been read before. */
async function loadMs(file: string): Promise<number> {
  const program = `const began = performance.now(); await import(${JSON.stringify(file)}); console.log(performance.now() - began);`;
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < LOADS; i++) {
    const options = { timeout: 60_000 };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], options);
    best = Math.min(best, Number(stdout));
  }
  return best;
}

/** As a package it is one file of JavaScript, for Node strips no types in packages. */
async function packageLoadMs(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'gn-bench-schemas-'));
  try {
    const build = await rolldown({ input: { schemas: SOURCE }, platform: 'neutral' });
    await build.write({ dir: folder, minify: true, entryFileNames: '[name].mjs' });
    await build.close();
    return await loadMs(join(folder, 'schemas.mjs'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const [small, large] = [smallText(), largeText()];
  const smallMs = costMs(() => readAndHash(small), 2000);
  const largeMs = costMs(() => readAndHash(large), 50);
  const parseMs = costMs(() => JSON.parse(small), 5000);
  const round = (value: number): number => Math.round(value * 100) / 100;
  return {
    name: 'schemas',
    metrics: {
      small_per_second: Math.round(1000 / smallMs),
      small_parse_ratio: round(smallMs / parseMs),
      large_ms: round(largeMs),
      refusal_ms: round(worstRefusalMs()),
      load_ms: round(await packageLoadMs()),
      source_load_ms: round(await loadMs(SOURCE)),
    },
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
