/**
 * Fuzzes what reads bytes of strangers.
 *
 * `node --expose-gc test/fuzz/run.ts [--target NAME]… [--count N] [--seed S] [--save]`
 *
 * `--count` inputs are shared by the targets. An input that reaches a new block
 * of the target's files is kept and changed further; `--save` writes what was
 * kept to `corpus/`, from where the next run begins. Prints one JSON line a
 * target and a last one; ends with 1 at a crash, which it prints as base64.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Coverage } from './coverage.ts';
import { Dice, mutate } from './mutate.ts';
import { type Target, targets } from './targets.ts';

/** Inputs between two looks at the coverage, as a look costs as much as many inputs. */
const BATCH = 512;
const MAX_INPUTS = 2000;
const SHOWN_OUTCOMES = 12;
const SAVED_BYTES = 12_000;

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: Object.keys(targets) },
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    save: { type: 'boolean', default: false },
  },
});
const { gc } = globalThis;
if (gc === undefined) throw new Error('fuzz: run node with --expose-gc');

let stray = '';
for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
  process.on(event, (error: unknown) => {
    stray ||= `${event}: ${error instanceof Error ? error.stack : String(error)}`;
  });
}

const corpusFile = (name: string): URL => new URL(`corpus/${name}.txt`, import.meta.url);

function readCorpus(name: string): Uint8Array[] {
  const file = corpusFile(name);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Uint8Array.from(Buffer.from(line, 'base64')));
}

function heapMiB(): number {
  gc?.();
  gc?.();
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

/** One target's run: inputs, what came out of them, and which were worth keeping. */
class Run {
  readonly #name: string;
  readonly #target: Target;
  readonly #coverage: Coverage;
  readonly #seen = new Set<string>();
  readonly outcomes = new Map<string, number>();
  readonly inputs: Uint8Array[];
  readonly kept: Uint8Array[] = [];
  slowestMs = 0;

  constructor(name: string, target: Target) {
    this.#name = name;
    this.#target = target;
    this.#coverage = new Coverage(target.files);
    this.inputs = [...target.seeds, ...readCorpus(name)];
  }

  async start(): Promise<void> {
    await this.#coverage.start();
    for (const bytes of this.inputs) await this.#one(bytes);
    for (const block of await this.#coverage.take()) this.#seen.add(block);
  }

  stop(): void {
    this.#coverage.stop();
  }

  get blocks(): number {
    return this.#seen.size;
  }

  /** Runs inputs and keeps those that reach what none before reached. */
  async batch(batch: readonly Uint8Array[]): Promise<void> {
    for (const bytes of batch) await this.#one(bytes);
    const news = (await this.#coverage.take()).difference(this.#seen);
    if (news.size === 0) return;
    await this.#keep(batch, news);
    // Blocks whose bounds V8 draws otherwise on the second look are found by no single input.
    for (const block of news) this.#seen.add(block);
  }

  /** Finds which of a batch reach new blocks by halving it. */
  async #keep(batch: readonly Uint8Array[], news: Set<string>): Promise<void> {
    for (const part of halves(batch)) {
      for (const bytes of part) await this.#one(bytes);
      const reached = (await this.#coverage.take()).intersection(news);
      if (reached.size === 0) continue;
      const [only] = part;
      if (part.length > 1 || only === undefined) {
        await this.#keep(part, reached);
        for (const block of news) if (this.#seen.has(block)) news.delete(block);
        continue;
      }
      if (this.inputs.length < MAX_INPUTS) {
        this.inputs.push(only);
        this.kept.push(only);
      }
      for (const block of reached) {
        news.delete(block);
        this.#seen.add(block);
      }
    }
  }

  async #one(bytes: Uint8Array): Promise<void> {
    const since = performance.now();
    try {
      const outcome = this.#target.run(bytes);
      const label = typeof outcome === 'string' ? outcome : await outcome;
      this.outcomes.set(label, (this.outcomes.get(label) ?? 0) + 1);
    } catch (error) {
      stray ||= error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    this.slowestMs = Math.max(this.slowestMs, performance.now() - since);
    if (stray === '') return;
    report({ crash: this.#name, input: Buffer.from(bytes).toString('base64'), error: stray });
    process.exit(1);
  }
}

const halves = <T>(list: readonly T[]): (readonly T[])[] =>
  list.length === 1 ? [list] : [list.slice(0, list.length >> 1), list.slice(list.length >> 1)];

async function fuzz(name: string, target: Target, count: number, seed: number): Promise<void> {
  const run = new Run(name, target);
  await run.start();
  const known = run.blocks;
  const dice = new Dice(seed);
  const since = performance.now();
  let heapBefore = 0;
  let done = 0;
  while (done < count) {
    const size = Math.min(BATCH, count - done);
    const pool = { inputs: run.inputs, words: target.words, reshape: target.reshape };
    await run.batch(Array.from({ length: size }, () => mutate(dice, pool)));
    done += size;
    // Caches are full and code is compiled by then.
    if (heapBefore === 0 && done >= count / 5) heapBefore = heapMiB();
  }
  const seconds = (performance.now() - since) / 1000;
  const heapAfter = heapMiB();
  run.stop();
  const outcomes = [...run.outcomes].sort(([, one], [, other]) => other - one);
  report({
    target: name,
    inputs: done,
    perSecond: Math.round(done / seconds),
    blocks: [known, run.blocks],
    kept: run.kept.length,
    slowestMs: Math.round(run.slowestMs * 10) / 10,
    heapMiB: [round(heapBefore), round(heapAfter)],
    outcomes: Object.fromEntries(outcomes.slice(0, SHOWN_OUTCOMES)),
    distinctOutcomes: outcomes.length,
  });
  if (values.save && run.kept.length > 0) saveCorpus(name, [...readCorpus(name), ...run.kept]);
}

/** Small inputs first, as many as a file should hold. */
function saveCorpus(name: string, inputs: readonly Uint8Array[]): void {
  const lines = [...new Set(inputs.map((bytes) => Buffer.from(bytes).toString('base64')))];
  lines.sort((one, other) => one.length - other.length);
  let size = 0;
  const held = lines.filter((line) => {
    size += line.length + 1;
    return size <= SAVED_BYTES;
  });
  writeFileSync(corpusFile(name), `${held.join('\n')}\n`);
}

const round = (value: number): number => Math.round(value * 10) / 10;

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const count = Number(values.count);
const seed = Number(values.seed);
const names = values.target;
for (const name of names) {
  const make = targets[name];
  if (make === undefined) throw new Error(`fuzz: no target ${name}; there are ${Object.keys(targets).join(', ')}`);
  await fuzz(name, await make(), Math.ceil(count / names.length), seed);
}
// What was left alone may still complain.
await new Promise((resolve) => setTimeout(resolve, 50));
if (stray !== '') {
  report({ crash: 'after the last input', error: stray });
  process.exit(1);
}
report({ msg: 'done', targets: names.length });
process.exit(0);
