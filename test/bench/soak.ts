/**
 * What a gateway weighs after a million requests, beside what it weighed when
 * it had warmed up: proportional set size in MiB, medians over many moments at
 * which it was busy until just then. `GRIDNODE_SOAK_REQUESTS` asks for another
 * number. Requests live 40 s, so what is remembered of them stops growing soon.
 */
import { readFile } from 'node:fs/promises';
import { withSite } from './peers/site.ts';
import { NODE } from './peers/twins.ts';

const COMMAND = 'zos.system.version';
const LANES = 64;
const BATCH = 20_000;
/** The memory of requests has its steady size, and V8 its own. */
const WARM_UP = 10 * BATCH;
/** Moments whose median counts, at the beginning and at the end. */
const MOMENTS = 8;

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const wanted = Number(process.env.GRIDNODE_SOAK_REQUESTS ?? 1_000_000);
  if (!(wanted >= 2 * BATCH)) throw new Error(`GRIDNODE_SOAK_REQUESTS is at least ${2 * BATCH}`);
  return withSite('ed25519', async ({ callers, gateway }) => {
    const weights: number[] = [];
    let refused = 0;
    const ask = async (): Promise<void> => {
      await callers.prepare(NODE, COMMAND, BATCH);
      const { sent, accepted } = await callers.closed(LANES);
      refused += sent - accepted.length;
      weights.push(await mebibytes(gateway.pid));
    };
    for (let sent = 0; sent < WARM_UP; sent += BATCH) await ask();
    const warm = median(weights.splice(0).slice(-Math.ceil(MOMENTS / 2)));
    const started = performance.now();
    for (let sent = 0; sent < wanted; sent += BATCH) {
      await ask();
      if (weights.length % 5 === 0)
        process.stderr.write(`${sent + BATCH} requests, ${weights.at(-1)?.toFixed(1)} MiB\n`);
    }
    const end = median(weights.slice(-MOMENTS));
    const metrics = {
      requests: Math.ceil(wanted / BATCH) * BATCH,
      refused,
      seconds: Math.round((performance.now() - started) / 1000),
      warm_mib: round(warm),
      end_mib: round(end),
      highest_mib: round(Math.max(...weights)),
      growth: Math.round((end / warm) * 1000) / 1000,
    };
    return { name: 'soak', metrics };
  });
}

async function mebibytes(pid: number | undefined): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? Number.NaN) / 1024;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
