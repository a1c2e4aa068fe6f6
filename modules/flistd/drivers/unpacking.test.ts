/** Unpacking in a process of its own: what it may do, and how it ends. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { packFlist } from '../format/index.ts';
import { serveFolder, type TestServer } from '../testing/server.ts';
import { listTree, makeTree, noise } from '../testing/tree.ts';
import { type UnpackJob, unpackApart } from './unpacking.ts';

const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)('a process that unpacks', () => {
  const top = mkdtempSync(join(tmpdir(), 'gn-fu-'));
  const folder = join(top, 'out');
  const addresses = { allowed: ['127.0.0.0/8'], denyPrivate: false };
  const job: UnpackJob = { file: join(top, 'a.fl'), folder, url: 'http://hub/a.fl', allowed: [top], addresses };
  const slow: UnpackJob = { ...job, file: join(top, 'slow.fl') };
  const never = new AbortController().signal;
  const admitted = async (): Promise<void> => undefined;
  let server: TestServer;

  /** Processes that this one started and that still run. */
  const children = (): number[] =>
    readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .map(Number)
      .filter((pid) => pid !== 0 && readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('flistd-unpack'));

  beforeAll(async () => {
    mkdirSync(join(top, 'a'));
    makeTree(join(top, 'a'));
    await packFlist({ directory: join(top, 'a'), output: job.file, store: `dir://${top}/store` });
    server = await serveFolder(top);
    mkdirSync(join(top, 'slow'));
    for (let i = 0; i < 100; i++) writeFileSync(join(top, 'slow', `f${i}`), noise(3000, `${i}`));
    await packFlist({
      directory: join(top, 'slow'),
      output: slow.file,
      store: `dir://${top}/slow-store`,
      routes: [{ start: 0, end: 255, url: `${server.url}/slow-store` }],
    });
    server.delayMs = 200;
    mkdirSync(folder);
  });

  afterEach(() => {
    expect(children()).toEqual([]);
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
  });

  afterAll(async () => {
    await server?.stop();
    rmSync(top, { recursive: true, force: true });
  });

  it('gives the tree with its owners, modes and times', async () => {
    const { entries, skipped } = await unpackApart(job, admitted, never);
    expect(listTree(folder)).toEqual(listTree(join(top, 'a')));
    expect([entries, skipped]).toEqual([listTree(folder).length, 0]);
  });

  it('writes nothing before it was admitted, and nothing when it was refused', async () => {
    const refuse = async (read: { treeBytes: number; bytes: number }): Promise<void> => {
      expect(read.treeBytes).toBeGreaterThan(read.bytes);
      expect(readdirSync(folder)).toEqual([]);
      throw new Error('no room');
    };
    await expect(unpackApart(job, refuse, never)).rejects.toThrow('no room');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('passes on the typed refusal of a flist', async () => {
    writeFileSync(join(top, 'bad.fl'), 'SQLite format 3\0 and nothing else');
    await expect(unpackApart({ ...job, file: join(top, 'bad.fl') }, admitted, never)).rejects.toMatchObject({
      code: 'flist_malformed',
      details: { url: job.url },
    });
    await expect(unpackApart({ ...job, allowed: [] }, admitted, never)).rejects.toMatchObject({
      code: 'flist_not_routable',
    });
    await expect(unpackApart({ ...job, file: join(top, 'none.fl') }, admitted, never)).rejects.toMatchObject({
      code: 'flist_unpack_failed',
    });
  });

  it('is killed when its time is over', async () => {
    await expect(unpackApart(slow, admitted, never, 1000)).rejects.toMatchObject({
      code: 'flist_unpack_failed',
      message: expect.stringContaining('more than 1000 ms'),
    });
  });

  it('is killed when its caller has given up', async () => {
    const giveUp = new AbortController();
    const pending = unpackApart(slow, admitted, giveUp.signal);
    setTimeout(() => giveUp.abort(new Error('given up')), 800);
    await expect(pending).rejects.toThrow('given up');
    await expect(unpackApart(slow, admitted, giveUp.signal)).rejects.toThrow('given up');
  });

  it('has few rights, gains none, and knows little of the node', async () => {
    let seen: string[] = [];
    const look = async (): Promise<void> => {
      const [pid] = children();
      const of = (name: string): string => readFileSync(`/proc/${pid}/${name}`, 'latin1');
      const status = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(of('status'))?.[1] ?? '';
      seen = [status('CapEff'), status('CapBnd'), status('NoNewPrivs'), of('oom_score_adj').trim()];
      const names = of('environ')
        .split('\0')
        .map((line) => line.split('=')[0] ?? '');
      expect(names.filter((name) => name.includes('SECRET'))).toEqual([]);
    };
    process.env.GN_TEST_SECRET = 'x';
    await unpackApart(job, look, never).finally(() => delete process.env.GN_TEST_SECRET);
    // chown, dac_read_search, fowner, fsetid
    expect(seen).toEqual(['000000000000001d', '000000000000001d', '1', '1000']);
  });

  it('says so when no process can be started', async () => {
    const path = process.env.PATH;
    process.env.PATH = top;
    try {
      await expect(unpackApart(job, admitted, never)).rejects.toMatchObject({
        code: 'flist_unpack_failed',
        message: expect.stringContaining('setpriv'),
      });
    } finally {
      process.env.PATH = path;
    }
  });
});
