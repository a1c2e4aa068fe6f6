import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../modules/host/run.ts';
import { address, createEnvelope, type Envelope } from '../rmb/envelope.ts';
import { DEFAULT_DOOR_LIMITS } from './limits.ts';
import { type ReplayEntry, ReplayMemory } from './replay.ts';
import { FileReplayLog, type FileReplayLogOptions } from './replay-log.ts';
import { HEADER, RECORD_BYTES } from './replay-record.ts';

const NOW = 1_700_000_000;
let folder: string;
let path: string;
let nowSeconds: number;
let registry: Registry;
let lines: { level: number; msg: string }[];
const ends: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-replay-'));
  path = join(folder, 'replay.log');
  nowSeconds = NOW;
  lines = [];
});

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await rm(folder, { recursive: true, force: true });
});

const envelope = (uid: string, life = 60): Envelope =>
  createEnvelope({
    uid,
    timestamp: BigInt(nowSeconds),
    expiration: BigInt(life),
    source: address(7, 'cli'),
    destination: address(17),
    message: { case: 'request', value: { command: 'zos.x' } },
  });

interface Guard {
  readonly memory: ReplayMemory;
  readonly log: FileReplayLog;
  /** Lets a request in; false for one that was let in before. */
  enter(uid: string, life?: number): Promise<boolean>;
}

/** Memory and log as the door joins them. */
async function openGuard(options: Partial<FileReplayLogOptions> = {}): Promise<Guard> {
  registry = new Registry();
  const sink = { write: (line: string) => lines.push(JSON.parse(line)) };
  const log = await FileReplayLog.open(path, {
    log: pino({ level: 'info' }, sink),
    registry,
    now: () => nowSeconds * 1000,
    ...options,
  });
  ends.push(() => log.close());
  const memory = new ReplayMemory(DEFAULT_DOOR_LIMITS);
  for (const entry of log.begin(() => memory.living(nowSeconds))) memory.restore(entry);
  const enter = async (uid: string, life?: number): Promise<boolean> => {
    const entered = memory.enter(envelope(uid, life), nowSeconds);
    if (entered instanceof Error) return false;
    await log.append(entered as ReplayEntry);
    return true;
  };
  return { memory, log, enter };
}

const unwritten = async (): Promise<number> =>
  (await registry.getSingleMetric('gateway_replay_log_unwritten_total')?.get())?.values[0]?.value ?? 0;
const sizeOf = async (records: number): Promise<void> =>
  expect((await stat(path)).size).toBe(HEADER.length + records * RECORD_BYTES);

describe('the replay log', () => {
  it('lets the next process refuse what this one let in, until it expires', async () => {
    const first = await openGuard();
    expect(await first.enter('a')).toBe(true);
    expect(await Promise.all(['b', 'c', 'a'].map((uid) => first.enter(uid)))).toEqual([true, true, false]);
    expect(await first.enter('long', 600)).toBe(true);
    await sizeOf(4);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    // The first is not closed: it may be gone at any moment.
    const second = await openGuard();
    expect(second.memory.size).toBe(4);
    for (const uid of ['a', 'b', 'c', 'long'])
      expect(second.memory.check(envelope(uid))?.code).toBe('envelope_replayed');
    expect(await second.enter('d')).toBe(true);
    nowSeconds += 60;
    const third = await openGuard();
    expect(third.memory.size).toBe(1);
    await sizeOf(1);
    expect(await third.enter('a')).toBe(true);
    expect(await unwritten()).toBe(0);
  });

  it('knows after a restart what was signed, whatever uid it comes under', async () => {
    const first = await openGuard();
    await first.enter('abcdef');
    const { memory } = await openGuard();
    const shifted = { ...envelope('abcde'), tags: 'f' } as Envelope;
    expect(memory.check(shifted)).toBeUndefined();
    expect(memory.enter(shifted, nowSeconds)).toMatchObject({ code: 'envelope_replayed' });
  });

  it('goes on after a torn last record and past damaged ones', async () => {
    const first = await openGuard();
    for (const uid of ['a', 'b', 'c']) await first.enter(uid);
    await truncate(path, HEADER.length + 3 * RECORD_BYTES - 7);
    const second = await openGuard();
    expect(second.memory.size).toBe(2);
    await sizeOf(2);
    expect(await second.enter('d')).toBe(true);
    const file = await open(path, 'r+');
    await file.write(Buffer.from([255]), 0, 1, HEADER.length + 20);
    await file.close();
    await appendFile(path, Buffer.alloc(RECORD_BYTES + 3));
    const third = await openGuard();
    expect(third.memory.size).toBe(2);
    expect(third.memory.check(envelope('b'))?.code).toBe('envelope_replayed');
    expect(third.memory.check(envelope('d'))?.code).toBe('envelope_replayed');
    await sizeOf(2);
    expect(lines.filter(({ msg }) => msg === 'replay log was damaged')).toMatchObject([
      { damaged: 0, tornBytes: RECORD_BYTES - 7 },
      { damaged: 2, tornBytes: 3 },
    ]);
  });

  it.each([
    ['nothing', ''],
    ['half a header', 'GRID'],
    ['something else', 'x'.repeat(500)],
  ])('begins anew over a file with %s', async (_what, content) => {
    await writeFile(path, content);
    const { enter } = await openGuard();
    await sizeOf(0);
    await enter('a');
    expect((await openGuard()).memory.size).toBe(1);
  });

  it('stays within twice what lives', async () => {
    const { enter, memory } = await openGuard({ rewriteFrom: 100 });
    await enter('stays', 3600);
    let largest = 0;
    for (let round = 0; round < 40; round += 1) {
      nowSeconds += 2;
      await Promise.all(Array.from({ length: 20 }, (_, index) => enter(`${round}.${index}`, 4)));
      largest = Math.max(largest, (await stat(path)).size);
    }
    expect(largest).toBeLessThanOrEqual(HEADER.length + 120 * RECORD_BYTES);
    expect((await openGuard()).memory.size).toBe([...memory.living(nowSeconds)].length);
    expect((await openGuard()).memory.check(envelope('stays'))?.code).toBe('envelope_replayed');
  });

  it('reads no more than there can be', async () => {
    const first = await openGuard();
    for (let index = 0; index < 50; index += 1) await first.enter(`${index}`);
    const { memory } = await openGuard({ replayEntries: 10, rewriteFrom: 5 });
    expect(memory.size).toBe(25);
    expect(memory.check(envelope('49'))?.code).toBe('envelope_replayed');
    await sizeOf(25);
  });

  it('keeps what is entered while the file is rewritten', async () => {
    const { enter, memory } = await openGuard({ rewriteFrom: 50 });
    const all: Promise<boolean>[] = [];
    for (let index = 0; index < 5000; index += 1) {
      all.push(enter(`${index}`));
      if (index % 37 === 0) await all.at(-1);
    }
    expect((await Promise.all(all)).every(Boolean)).toBe(true);
    expect(memory.size).toBe(5000);
    expect((await openGuard()).memory.size).toBe(5000);
  });

  it('goes on in memory where there is no place for a file', async () => {
    path = join(folder, 'missing', 'replay.log');
    const { enter } = await openGuard();
    expect(await enter('a')).toBe(true);
    expect(await enter('a')).toBe(false);
    expect(await unwritten()).toBe(1);
    expect(lines.filter(({ level }) => level === 50).length).toBe(1);
  });

  it.skipIf(process.getuid?.() !== 0)('goes on over a full disk, and writes all of it when there is room', async () => {
    const disk = await mkdtemp(join(folder, 'disk-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs', disk], { deadlineMs: 20_000 });
    ends.push(() => run('umount', ['-l', disk], { deadlineMs: 20_000 }));
    path = join(disk, 'replay.log');
    const { enter, memory } = await openGuard({ retryMs: 1000 });
    await enter('before');
    const ballast = join(disk, 'ballast');
    await writeFile(ballast, Buffer.alloc(128 * 1024)).catch(() => undefined);
    const room = 200;
    for (let index = 0; index < room; index += 1) expect(await enter(`${index}`)).toBe(true);
    expect(await enter('7')).toBe(false);
    expect(await unwritten()).toBeGreaterThan(0);
    const complaints = lines.filter(({ level }) => level === 50);
    expect(complaints.length).toBe(1);
    expect(JSON.stringify(complaints)).toContain('ENOSPC');
    // What was whole before is still there, and no half record hides anything.
    expect((await openGuard()).memory.check(envelope('before'))?.code).toBe('envelope_replayed');
    await rm(ballast);
    nowSeconds += 2;
    await enter('after');
    expect(lines.some(({ msg }) => msg === 'replay log is written again')).toBe(true);
    expect((await openGuard()).memory.size).toBe(memory.size);
    expect(memory.size).toBe(room + 2);
  });

  it('writes again once it can, also when nothing more comes', async () => {
    const place = join(folder, 'later');
    path = join(place, 'replay.log');
    const { enter } = await openGuard({ retryMs: 100, now: () => Date.now() });
    nowSeconds = Math.floor(Date.now() / 1000);
    expect(await enter('a')).toBe(true);
    await mkdir(place);
    await expect
      .poll(() =>
        stat(path).then(
          ({ size }) => size,
          () => 0,
        ),
      )
      .toBe(HEADER.length + RECORD_BYTES);
    expect((await openGuard()).memory.check(envelope('a'))?.code).toBe('envelope_replayed');
  });

  it.skipIf(process.getuid?.() !== 0)(
    'keeps nobody waiting for a disk that does not answer',
    { timeout: 90_000 },
    async () => {
      const disk = await mkdtemp(join(folder, 'disk-'));
      const image = join(folder, 'image');
      await writeFile(image, '');
      await truncate(image, 16 * 1024 * 1024);
      await run('mkfs.ext4', ['-q', '-F', image], { deadlineMs: 20_000 });
      await run('mount', ['-o', 'loop', image, disk], { deadlineMs: 20_000 });
      ends.push(() => run('umount', ['-l', disk], { deadlineMs: 20_000 }));
      path = join(disk, 'replay.log');
      const { enter, memory } = await openGuard({ retryMs: 200, now: () => Date.now() });
      nowSeconds = Math.floor(Date.now() / 1000);
      await enter('before');
      await run('fsfreeze', ['--freeze', disk], { deadlineMs: 20_000 });
      const thaw = () => run('fsfreeze', ['--unfreeze', disk], { deadlineMs: 20_000 });
      ends.push(() => thaw().catch(() => undefined));
      expect(await enter('stuck')).toBe(true);
      // Not one of them waits the two seconds again.
      const laterAt = performance.now();
      for (let index = 0; index < 20; index += 1) expect(await enter(`${index}`)).toBe(true);
      expect(performance.now() - laterAt).toBeLessThan(15_000);
      expect(await enter('7')).toBe(false);
      expect(await unwritten()).toBe(21);
      await thaw();
      await expect.poll(async () => (await openGuard()).memory.size, { timeout: 20_000 }).toBe(memory.size);
      expect(memory.size).toBe(22);
    },
  );

  it('loses nothing that was let in to a kill -9', { timeout: 120_000 }, async () => {
    const script = join(folder, 'child.mts');
    const source = (name: string): string => JSON.stringify(join(import.meta.dirname, name));
    await writeFile(
      script,
      `import { FileReplayLog } from ${source('replay-log.ts')};
       import { writeSync } from 'node:fs';
       const quiet = { error() {}, warn() {}, info() {} };
       const log = await FileReplayLog.open(process.argv[2], { log: quiet, rewriteFrom: 200 });
       const living = [...log.begin(() => living)];
       const expiresAt = Math.floor(Date.now() / 1000) + 600;
       for (let number = living.length; ; number += 1) {
         const entry = { key: String(number).padStart(16), signed: String(number).padEnd(16), twin: 7, expiresAt };
         living.push(entry);
         log.append(entry).then(() => writeSync(1, number + '\\n'));
         if (number % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
         if (number % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
       }`,
    );
    for (let round = 0; round < 4; round += 1) {
      const child = fork(script, [path], { silent: true, execArgv: [] });
      let said = '';
      child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
        said += chunk;
      });
      const until = Date.now() + 20_000;
      while (said.length < 1000 * (round + 1) && Date.now() < until) await once(child.stdout ?? child, 'data');
      child.kill('SIGKILL');
      await once(child, 'close');
      const acknowledged = said.trim().split('\n').map(Number);
      expect(acknowledged.length).toBeGreaterThan(50);
      nowSeconds = Math.floor(Date.now() / 1000);
      const log = await FileReplayLog.open(path, { log: pino({ level: 'silent' }) });
      ends.push(() => log.close());
      const kept = new Set(log.begin(() => []).map(({ key }) => Number(key)));
      expect(acknowledged.filter((number) => !kept.has(number))).toEqual([]);
      expect((await readFile(path)).length % RECORD_BYTES).toBe(HEADER.length % RECORD_BYTES);
    }
  });
});
