/**
 * Signed and encrypted `zos.system.version` through relay and gateway on
 * loopback, both key types: callers, relay and gateway each a process of its
 * own. In the same run, in turns, the same callers ask the Go SDK's peer behind
 * the same relay. Processor time a request is set against that of the signature
 * work a request cannot do without: one verified, one made.
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyType } from '../../gateway/rmb/index.ts';
import type { CallerResult } from './peers/callers.ts';
import { hasGo } from './peers/go-peer.ts';
import { processorSeconds } from './peers/processor.ts';
import { signatureMicros } from './peers/signatures.ts';
import { type Site, withSite } from './peers/site.ts';
import { GO, NODE } from './peers/twins.ts';

const COMMAND = 'zos.system.version';
/** Requests on their way at any moment. */
const LANES = 64;
/** The two are measured in turns, so that what else the machine does hits both. */
const TURNS = 5;
const TURN_SECONDS = 1;
/** Long enough for V8 to have compiled what runs often; Go has nothing to compile. */
const WARM_UP = 15_000;
const GO_WARM_UP = 3000;

type Metrics = Record<string, number>;
interface Measured {
  readonly metrics: Metrics;
  readonly missing: Record<string, string>;
}

export async function bench(): Promise<{ name: string } & Measured> {
  const metrics: Metrics = {};
  const missing: Record<string, string> = {};
  for (const keyType of ['ed25519', 'sr25519'] as const) {
    const one = await withSite(keyType, (site) => measure(keyType, site));
    Object.assign(metrics, one.metrics);
    Object.assign(missing, one.missing);
  }
  return { name: 'rmb', metrics, missing };
}

async function measure(keyType: KeyType, site: Site): Promise<Measured> {
  const go = hasGo ? await site.startGo() : undefined;
  const ours = new Side(NODE, site.gateway, site);
  const theirs = go === undefined ? undefined : new Side(GO, go, site);
  const sides = theirs === undefined ? [ours] : [ours, theirs];
  await ours.warmUp(WARM_UP);
  await theirs?.warmUp(GO_WARM_UP);
  const micros: number[] = [];
  for (let turn = 0; turn < TURNS; turn += 1) {
    // Whoever goes second finds the machine as the first left it, so they take turns.
    for (const side of turn % 2 === 0 ? sides : sides.toReversed()) await side.turn();
    micros.push(await signatureMicros(keyType));
  }
  const signatures = median(micros);
  const us = ours.figures();
  const metrics: Metrics = {
    [`${keyType}_requests_per_second`]: us.perSecond,
    [`${keyType}_p50_ms`]: us.p50,
    [`${keyType}_p99_ms`]: us.p99,
    [`${keyType}_gateway_cpu_us`]: us.cpu,
    [`${keyType}_relay_cpu_us`]: us.relayCpu,
    [`${keyType}_signatures_cpu_us`]: round(signatures, 10),
    [`${keyType}_signature_cost`]: round(us.cpu / signatures, 100),
  };
  if (theirs === undefined) {
    const names = ['go_ratio', 'go_p99_ratio'].map((name) => `${keyType}_${name}`);
    return { metrics, missing: Object.fromEntries(names.map((name) => [name, 'needs Go 1.21 or newer'])) };
  }
  const them = theirs.figures();
  Object.assign(metrics, {
    [`${keyType}_go_per_second`]: them.perSecond,
    [`${keyType}_go_p50_ms`]: them.p50,
    [`${keyType}_go_p99_ms`]: them.p99,
    [`${keyType}_go_cpu_us`]: them.cpu,
    [`${keyType}_go_ratio`]: round(us.perSecond / them.perSecond, 100),
    [`${keyType}_go_p99_ratio`]: round(us.p99 / them.p99, 100),
    [`${keyType}_go_cpu_ratio`]: round(them.cpu / us.cpu, 100),
  });
  return { metrics, missing: {} };
}

/** One node that is asked, and what its turns brought. */
class Side {
  readonly #twin: number;
  readonly #process: ChildProcess;
  readonly #site: Site;
  readonly #turns: { result: CallerResult; cpu: number; relayCpu: number }[] = [];
  #perTurn = 0;

  constructor(twin: number, process: ChildProcess, site: Site) {
    this.#twin = twin;
    this.#process = process;
    this.#site = site;
  }

  async warmUp(count: number): Promise<void> {
    const { sent, seconds } = await this.#run(count);
    this.#perTurn = Math.ceil((sent / seconds) * TURN_SECONDS);
  }

  async turn(): Promise<void> {
    const before = await this.#processor();
    const result = await this.#run(this.#perTurn);
    const after = await this.#processor();
    this.#turns.push({ result, cpu: after.cpu - before.cpu, relayCpu: after.relayCpu - before.relayCpu });
  }

  figures(): { perSecond: number; p50: number; p99: number; cpu: number; relayCpu: number } {
    const milliseconds = this.#turns.flatMap(({ result }) => result.accepted).sort((a, b) => a - b);
    const at = (share: number): number => round(milliseconds[Math.floor(milliseconds.length * share)] ?? 0, 10);
    const micros = (name: 'cpu' | 'relayCpu'): number => {
      const seconds = this.#turns.reduce((sum, turn) => sum + turn[name], 0);
      return Math.round((seconds / milliseconds.length) * 1e6);
    };
    const perSecond = Math.round(median(this.#turns.map(({ result }) => result.sent / result.seconds)));
    return { perSecond, p50: at(0.5), p99: at(0.99), cpu: micros('cpu'), relayCpu: micros('relayCpu') };
  }

  async #run(count: number): Promise<CallerResult> {
    const { callers } = this.#site;
    await callers.prepare(this.#twin, COMMAND, count);
    await sleep(100);
    const result = await callers.closed(LANES);
    if (result.accepted.length !== result.sent) {
      const { sent, accepted, codes, unanswered } = result;
      throw new Error(
        `of ${sent} requests to twin ${this.#twin} ${accepted.length} were answered, ` +
          `${unanswered} not, others refused: ${JSON.stringify(codes)}`,
      );
    }
    return result;
  }

  async #processor(): Promise<{ cpu: number; relayCpu: number }> {
    return { cpu: await processorSeconds(this.#process), relayCpu: await processorSeconds(this.#site.relay) };
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function round(value: number, parts: number): number {
  return Math.round(value * parts) / parts;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
