/**
 * A gateway that is asked twice what it can carry, at a steady rate that does
 * not wait for answers: how long the requests take that are let in, beside
 * those of a calm gateway, and how soon the others hear that they are not, once
 * the load has lasted two seconds. What the callers themselves need of the
 * processors is part of the load.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyType } from '../../gateway/rmb/index.ts';
import type { CallerResult } from './peers/callers.ts';
import { type Site, withSite } from './peers/site.ts';
import { NODE } from './peers/twins.ts';

const COMMAND = 'zos.system.version';
const LANES = 64;
const WARM_UP = 6000;
const CALM_SHARE = 0.2;
const CALM_SECONDS = 4;
const OVERLOAD = 2;
const OVERLOAD_SECONDS = 6;
/** A burst may wait; what counts is a load that lasts. */
const SETTLE_SECONDS = 2;

type Metrics = Record<string, number>;

export async function bench(): Promise<{ name: string; metrics: Metrics }> {
  const metrics: Metrics = {};
  for (const keyType of ['ed25519', 'sr25519'] as const) {
    Object.assign(metrics, await withSite(keyType, (site) => measure(keyType, site)));
  }
  return { name: 'overload', metrics };
}

async function measure(keyType: KeyType, { callers }: Site): Promise<Metrics> {
  const prepare = async (count: number): Promise<void> => {
    await callers.prepare(NODE, COMMAND, Math.ceil(count));
    await sleep(500);
  };
  await prepare(WARM_UP);
  await callers.closed(LANES);
  await prepare(WARM_UP);
  const { sent, seconds } = await callers.closed(LANES);
  const capacity = sent / seconds;
  await prepare(capacity * CALM_SHARE * CALM_SECONDS);
  const calm = await callers.open(capacity * CALM_SHARE);
  await prepare(capacity * OVERLOAD * OVERLOAD_SECONDS);
  const over = await callers.open(capacity * OVERLOAD, SETTLE_SECONDS * 1000);
  const [calmP99, overP99] = [p99(calm.accepted), p99(over.accepted)];
  return {
    [`${keyType}_capacity_per_second`]: Math.round(capacity),
    [`${keyType}_accepted_per_second`]: Math.round(over.accepted.length / (OVERLOAD_SECONDS - SETTLE_SECONDS)),
    [`${keyType}_accepted_share`]: share(over.accepted.length, over),
    [`${keyType}_told_share`]: share(over.refused.length, over),
    [`${keyType}_silent_share`]: share(over.unanswered, over),
    [`${keyType}_calm_p99_ms`]: round(calmP99, 10),
    [`${keyType}_accepted_p99_ms`]: round(overP99, 10),
    [`${keyType}_refused_p99_ms`]: round(p99(over.refused), 10),
    [`${keyType}_p99_ratio`]: round(overP99 / calmP99, 100),
  };
}

function p99(milliseconds: readonly number[]): number {
  const sorted = milliseconds.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? 0;
}

function share(part: number, { sent }: CallerResult): number {
  return round(part / sent, 1000);
}

function round(value: number, parts: number): number {
  return Math.round(value * parts) / parts;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
