/**
 * provisiond's start with ten thousand deployments in its journal: the process, on a Redis of its own, beside
 * daemons that have all of it on their host. From its beginning to the first answer; and while it then looks
 * for everything on the host and compares it, how long any turn takes and what the process weighs.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compileCache, nodeOptions } from '../../cli/node/unit-file.ts';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { provision } from '../../provision/interface.ts';
import { fillJournal } from '../../provision/testing/fill.ts';
import { end, start } from './peers/child.ts';
import { processorSeconds } from './peers/processor.ts';

const STORED = 10_000;
const STARTS = 3;
const WATCHED_MS = 20_000;
const START_DEADLINE_MS = 60_000;
const POLL_MS = 5;
const ASK_MS = 20;
/** As `fillJournal` gives them by itself. */
const [TWIN, CONTRACT] = [100, 1n];
const MAIN = fileURLToPath(new URL('../../provision/main.ts', import.meta.url));
const TURNS = pathToFileURL(join(import.meta.dirname, 'peers/turns.ts')).href;

export async function bench(): Promise<{ name: string; metrics: Record<string, number> }> {
  const folder = await mkdtemp(join(tmpdir(), 'start-'));
  const closing: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  try {
    await mkdir(join(folder, 'provisiond'), { mode: 0o700 });
    fillJournal(join(folder, 'provisiond', 'journal.sqlite'), STORED);
    const redis = await startRedis();
    closing.push(() => redis.stop());
    const { broker } = redis;
    const host = await start(join(import.meta.dirname, 'peers/full-host.ts'), ['--broker', broker, '--state', folder]);
    closing.push(() => end(host.child));
    const bus = new ZbusClient({ broker });
    closing.push(() => bus.close());
    const starts: Started[] = [];
    for (let round = 1; round <= STARTS; round++) {
      const isWatched = round === STARTS;
      starts.push(await measure(bus, broker, folder, isWatched ? WATCHED_MS : 0));
    }
    // The first also compiles what it loads, where nothing was kept of it.
    const best = starts.reduce((one, other) => (other.startMs < one.startMs ? other : one));
    const watched = starts.at(-1);
    if (watched === undefined) throw new Error('nothing was started');
    return {
      name: 'start',
      metrics: {
        start_ms: Math.round(best.startMs),
        start_processor_ms: Math.round(best.processorMs),
        start_rss_mib: Math.round(watched.rssMib),
        peak_rss_mib: Math.round(watched.peakMib),
        longest_turn_ms: Math.round(watched.longestTurnMs),
        verifying_processor_ms: Math.round(watched.watchedProcessorMs),
        answer_p99_ms: Math.round(watched.answerP99Ms * 10) / 10,
      },
    };
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

interface Started {
  /** From the beginning of the process to its first answer. */
  readonly startMs: number;
  readonly processorMs: number;
  readonly rssMib: number;
  readonly peakMib: number;
  /** Of all after the first answer. */
  readonly longestTurnMs: number;
  readonly watchedProcessorMs: number;
  readonly answerP99Ms: number;
}

async function measure(bus: ZbusClient, broker: string, folder: string, watchedMs: number): Promise<Started> {
  const turns = join(folder, 'turns');
  await rm(turns, { force: true });
  const options = [...nodeOptions.split(' '), '--import', TURNS];
  const began = performance.now();
  const child = spawn(process.execPath, [...options, MAIN, '--broker', broker, '--state', folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache, TURNS_FILE: turns },
  });
  try {
    const ask = () => bus.of(provision).Get({ twin: TWIN, contractID: CONTRACT }, { deadlineMs: 2_000 });
    while (!(await ask().then(Boolean, () => false))) {
      if (performance.now() - began > START_DEADLINE_MS) throw new Error('provisiond does not answer');
      await sleep(POLL_MS);
    }
    const startMs = performance.now() - began;
    const [servingAt, servedSeconds] = [Date.now(), await processorSeconds(child)];
    const answers: number[] = [];
    while (performance.now() - began - startMs < watchedMs) {
      const asked = performance.now();
      await ask();
      answers.push(performance.now() - asked);
      await sleep(ASK_MS);
    }
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
    const mib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
    return {
      startMs,
      processorMs: servedSeconds * 1000,
      rssMib: mib('VmRSS'),
      peakMib: mib('VmHWM'),
      longestTurnMs: await longestTurn(turns, servingAt),
      watchedProcessorMs: ((await processorSeconds(child)) - servedSeconds) * 1000,
      answerP99Ms: answers.sort((a, b) => a - b)[Math.floor(answers.length * 0.99)] ?? Number.NaN,
    };
  } finally {
    await end(child);
  }
}

/** Of the turns that began after that time. */
async function longestTurn(file: string, since: number): Promise<number> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => line !== '');
  const turns = lines.map((line) => JSON.parse(line) as { at: number; ms: number });
  return Math.max(0, ...turns.filter(({ at, ms }) => at - ms > since).map(({ ms }) => ms));
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await bench())}\n`);
