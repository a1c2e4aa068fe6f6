/** flistd as a process beside storaged: real mounts, real btrfs, real redis, real HTTP on loopback. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { errorTable } from '../../schemas/errors/index.ts';
import { listMounts } from '../host/mounts.ts';
import { storage } from '../storaged/interface.ts';
import { startDaemon, type TestDaemon } from '../storaged/testing/daemon.ts';
import { ZbusClient } from '../zbus/client.ts';
import type { Client } from '../zbus/definition.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { packFlist, readFlist } from './format/index.ts';
import { flist } from './interface.ts';
import { serveFolder, type TestServer } from './testing/server.ts';
import { listTree, makeTree, noise } from './testing/tree.ts';

const MIB = 1024 ** 2;
/** Hubs and stores of these tests are on loopback. */
const loopback = { 'allow-address': '127.0.0.0/8' };
const isRoot = process.getuid?.() === 0;
const main = join(import.meta.dirname, 'main.ts');
const storaged = join(import.meta.dirname, '../storaged/main.ts');
const purge = (module: string, state: string): void => {
  execFileSync(process.execPath, [join(import.meta.dirname, '..', module, 'purge.ts'), '--state', state]);
};

describe.skipIf(!isRoot)('flistd', { timeout: 120_000 }, () => {
  const top = mkdtempSync(join(tmpdir(), 'gn-fl-'));
  // A comma and a colon are separators of overlay options.
  const state = join(top, 'st,a:te');
  const share = join(top, 'share');
  const tree = join(top, 'tree');
  const base = join(state, 'flistd/cache/base');
  const readOnly = { ReadOnly: true, Limit: 0, Storage: '', PersistedVolume: '' };
  let redis: TestRedis;
  let bus: ZbusClient;
  let client: Client<typeof flist>;
  let volumes: Client<typeof storage>;
  let disks: TestDaemon | undefined;
  let daemon: TestDaemon | undefined;
  let server: TestServer;
  /** An address where nobody listens. */
  let nobody: string;

  const start = async (flags: Record<string, string> = {}): Promise<void> => {
    const allowed = join(top, 'allowed');
    daemon = await startDaemon(main, { state, broker: redis.broker, 'allow-file': allowed, ...loopback, ...flags });
  };
  const restart = async (signal?: NodeJS.Signals, flags: Record<string, string> = {}): Promise<void> => {
    await daemon?.stop(signal);
    await start(flags);
  };
  /** A flist whose blocks come over HTTP; returns its address. */
  const packed = async (name: string, fill: (folder: string) => void, routes?: string[]): Promise<string> => {
    const folder = join(top, `tree-${name}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    fill(folder);
    await packFlist({
      directory: folder,
      output: join(share, `${name}.fl`),
      store: `dir://${share}/store-${name}`,
      routes: (routes ?? [`${server.url}/store-${name}`]).map((url) => ({ start: 0, end: 255, url })),
    });
    return `${server.url}/${name}.fl`;
  };
  const mounted = (): string[] =>
    listMounts()
      .filter((mount) => mount.target.startsWith(`${state}/flistd`))
      .map((m) => m.target);
  /** From now on the server answers thirty requests and leaves the others waiting. */
  const holdInTheMiddle = (): void => {
    server.requests.length = 0;
    server.intercept = () => server.requests.length > 30;
  };
  /** Nothing that a failed mount may leave. */
  const expectNothingLeft = (name: string): void => {
    expect(readdirSync(base).filter((entry) => entry.startsWith('.'))).toEqual([]);
    expect(readdirSync(join(state, 'flistd/cache/fetched')).filter((entry) => entry.endsWith('.fl'))).toEqual([]);
    expect(existsSync(join(state, 'flistd/mnt', name))).toBe(false);
    expect(existsSync(join(state, 'flistd/mounts', `${name}.json`))).toBe(false);
    expect(mounted().filter((target) => target.endsWith(`/${name}`))).toEqual([]);
  };

  beforeAll(async () => {
    for (const folder of [state, share, tree, join(top, 'allowed')]) mkdirSync(folder);
    makeTree(tree);
    redis = await startRedis();
    server = await serveFolder(share);
    const gone = await serveFolder(share);
    nobody = gone.url;
    await gone.stop();
    bus = new ZbusClient({ broker: redis.broker, deadlineMs: 30_000 });
    client = bus.of(flist);
    volumes = bus.of(storage);
    const flags = { state, broker: redis.broker, 'pool-size': String(512 * MIB), 'cache-size': '0' };
    disks = await startDaemon(storaged, flags);
    await packFlist({ directory: tree, output: join(top, 'allowed/tree.fl'), store: `dir://${top}/allowed/store` });
    await start();
  });

  afterEach(() => {
    server.intercept = undefined;
    server.delayMs = 0;
  });

  afterAll(async () => {
    await daemon?.stop();
    await disks?.stop();
    await bus?.close();
    await redis?.stop();
    await server?.stop();
    purge('flistd', state);
    purge('storaged', state);
    rmSync(top, { recursive: true, force: true });
  });

  const file = `file://${top}/allowed/tree.fl`;

  it('gives the packed tree back, read-only', async () => {
    const path = await client.Mount({ name: 'ro', url: file, opt: readOnly });
    expect(path).toBe(join(state, 'flistd/mnt/ro'));
    expect(listTree(path)).toEqual(listTree(tree));
    expect(() => writeFileSync(join(path, 'x'), '')).toThrow(/EROFS/);
    expect(listMounts().find((mount) => mount.target === path)?.options).toEqual(
      expect.arrayContaining(['ro', 'nodev', 'nosuid', 'noexec']),
    );
    expect(await client.Mount({ name: 'ro', url: file, opt: readOnly })).toBe(path);
    expect(await client.Exists({ name: 'ro' })).toBe(true);
    const hash = (await readFile(join(top, 'allowed/tree.fl.md5'), 'utf8')).trim();
    expect(await client.FlistHash({ url: file })).toBe(hash);
    expect(await client.HashFromRootPath({ name: path })).toBe(hash);
    expect(await client.HashFromRootPath({ name: 'ro' })).toBe(hash);
    await expect(
      client.Mount({ name: 'ro', url: `file://${top}/allowed/other.fl`, opt: readOnly }),
    ).rejects.toMatchObject({
      remote: { code: 'flist_mounted_otherwise' },
    });
    await client.Unmount({ name: 'ro' });
    await client.Unmount({ name: 'ro' });
    expect(await client.Exists({ name: 'ro' })).toBe(false);
    expectNothingLeft('ro');
  });

  it('gives a writable tree over a volume and leaves the base as it is', async () => {
    const volume = await volumes.VolumeCreate({ name: 'rootfs:1-2-vm', size: 50 * MIB });
    const opt = { ...readOnly, ReadOnly: false, PersistedVolume: volume.Path };
    const path = await client.Mount({ name: '1-2-vm', url: file, opt });
    expect(listTree(path)).toEqual(listTree(tree));
    await writeFile(join(path, 'etc/hostname'), 'changed\n');
    rmSync(join(path, 'bin/su'));
    mkdirSync(join(path, 'new'));
    const devices = execFileSync('find', [path, '-printf', '%D\n'], { encoding: 'utf8' }).trim().split('\n');
    expect(new Set(devices).size).toBe(1);
    const inodes = execFileSync('find', [path, '-printf', '%i\n'], { encoding: 'utf8' }).trim().split('\n');
    expect(new Set(inodes).size).toBe(inodes.length);
    expect(await client.HashFromRootPath({ name: '1-2-vm' })).toHaveLength(32);

    await client.Unmount({ name: '1-2-vm' });
    expect(await volumes.VolumeExists({ name: 'rootfs:1-2-vm' })).toBe(true);
    const again = await client.Mount({ name: '1-2-vm', url: file, opt });
    expect(await readFile(join(again, 'etc/hostname'), 'utf8')).toBe('changed\n');
    expect(existsSync(join(again, 'bin/su'))).toBe(false);
    expect(existsSync(join(again, 'new'))).toBe(true);

    expect(await client.UpdateMountSize({ name: '1-2-vm', limit: 60 * MIB })).toBe(path);
    expect((await volumes.VolumeLookup({ name: 'rootfs:1-2-vm' })).Usage.Size).toBe(60 * MIB);
    const clean = await client.Mount({ name: 'clean', url: file, opt: readOnly });
    expect(listTree(clean)).toEqual(listTree(tree));
    await client.Unmount({ name: 'clean' });
    await client.Unmount({ name: '1-2-vm' });
    await volumes.VolumeDelete({ name: 'rootfs:1-2-vm' });
  });

  it('makes a volume of its own size and takes it away again', async () => {
    const opt = { ...readOnly, ReadOnly: false, Limit: 40 * MIB };
    const path = await client.Mount({ name: 'own', url: file, opt });
    expect((await volumes.VolumeLookup({ name: 'own' })).Usage.Size).toBe(40 * MIB);
    await expect(writeFile(join(path, 'filling'), randomBytes(60 * MIB))).rejects.toMatchObject({ errno: -122 });
    await restart('SIGKILL');
    await client.Unmount({ name: 'own' });
    expect(await volumes.VolumeExists({ name: 'own' })).toBe(false);
    expectNothingLeft('own');
    await expect(client.Mount({ name: 'own', url: file, opt: { ...opt, Limit: 0 } })).rejects.toThrow(
      'invalid mount option, missing disk type',
    );
    await expect(client.Mount({ name: 'own', url: file, opt: { ...opt, Limit: 9000 * MIB } })).rejects.toThrow(
      'not enough space left in pools of this type ssd',
    );
    await expect(
      client.Mount({ name: 'own', url: file, opt: { ...opt, PersistedVolume: join(top, 'share') } }),
    ).rejects.toMatchObject({ remote: { code: 'flist_option_refused' } });
    expect(await volumes.VolumeExists({ name: 'own' })).toBe(false);
    expectNothingLeft('own');
  });

  it('reads flist and blocks over HTTP, each once for all who ask at the same time', async () => {
    const url = await packed('web', (folder) => {
      for (let i = 0; i < 20; i++) writeFileSync(join(folder, `f${i}`), noise(30_000, `web${i}`));
    });
    server.delayMs = 20;
    server.requests.length = 0;
    const names = ['w1', 'w2', 'w3', 'w4'];
    const paths = await Promise.all(names.map((name) => client.Mount({ name, url, opt: readOnly })));
    for (const path of paths) expect(listTree(path)).toEqual(listTree(join(top, 'tree-web')));
    const blocks = server.requests.filter((path) => path.startsWith('/store-web/'));
    expect(blocks).toHaveLength(20);
    expect(new Set(blocks).size).toBe(20);
    server.requests.length = 0;
    await client.Mount({ name: 'w5', url, opt: readOnly });
    expect(server.requests).toEqual(['/web.fl']);
    const md5 = (await readFile(join(share, 'web.fl.md5'), 'utf8')).trim();
    expect(await client.FlistHash({ url })).toBe(md5);
    rmSync(join(share, 'web.fl.md5'));
    expect(await client.FlistHash({ url })).toBe(md5);
    writeFileSync(join(share, 'web.fl.md5'), 'nonsense');
    await expect(client.FlistHash({ url })).rejects.toThrow('invalid hash length');
    for (const name of [...names, 'w5']) await client.Unmount({ name });
  });

  it('refuses a corrupt block by its id and route, and leaves nothing', async () => {
    const url = await packed('bad', (folder) => {
      for (let i = 0; i < 30; i++) writeFileSync(join(folder, `f${i}`), noise(10_000, `bad${i}`));
    });
    const { entries } = readFlist(join(share, 'bad.fl'));
    const block = entries[17]?.blocks?.subarray(0, 32).toString('hex') ?? '';
    server.intercept = (path, response) => {
      if (!path.endsWith(block)) return false;
      response.end(Buffer.alloc(10_000, 1));
      return true;
    };
    const asked = (): number => server.requests.filter((path) => path.endsWith(block)).length;
    const before = asked();
    await expect(client.Mount({ name: 'bad', url, opt: readOnly })).rejects.toMatchObject({
      message: expect.stringContaining(`block ${block} from '${server.url}/store-bad' is corrupt`),
      remote: { code: 'flist_block_corrupt', details: { block, route: `${server.url}/store-bad` } },
    });
    expectNothingLeft('bad');
    // Asked for again before it is final.
    expect(asked() - before).toBe(3);
    server.intercept = (path, response) => {
      if (!path.endsWith(block)) return false;
      response.end(Buffer.alloc(2 * MIB));
      return true;
    };
    await expect(client.Mount({ name: 'bad', url, opt: readOnly })).rejects.toMatchObject({
      remote: { code: 'flist_block_corrupt' },
    });
    server.intercept = (path, response) => path.endsWith(block) && Boolean(response.writeHead(404).end());
    await expect(client.Mount({ name: 'bad', url, opt: readOnly })).rejects.toMatchObject({
      remote: { code: 'flist_block_missing', details: { block } },
    });
    expectNothingLeft('bad');
    for (const code of ['flist_block_corrupt', 'flist_block_missing'] as const)
      expect(errorTable[code].retryable).toBe(false);
    // A store that is itself again at the second look.
    let wrong = 2;
    server.intercept = (path, response) => {
      if (!path.endsWith(block) || wrong-- <= 0) return false;
      if (wrong === 1) response.end('garbage');
      else response.writeHead(404).end();
      return true;
    };
    expect(listTree(await client.Mount({ name: 'bad', url, opt: readOnly }))).toEqual(listTree(join(top, 'tree-bad')));
    await client.Unmount({ name: 'bad' });
  });

  it('goes on to the next route when one is corrupt or gone', async () => {
    const fill = (folder: string): void => writeFileSync(join(folder, 'f'), noise(3 * MIB, 'routes'));
    const routes = [
      `${server.url}/store-none`,
      `${nobody}/gone`,
      'http://127.0.0.1:1/port-of-another-service',
      'zdb://127.0.0.1:9900',
      `${server.url}/store-routes`,
    ];
    const url = await packed('routes', fill, routes);
    server.intercept = (path, response) => path.startsWith('/store-none') && Boolean(response.end('garbage'));
    const path = await client.Mount({ name: 'routes', url, opt: readOnly });
    expect(listTree(path)).toEqual(listTree(join(top, 'tree-routes')));
    await client.Unmount({ name: 'routes' });
  });

  it('fails fast when a store or the flist cannot be reached', async () => {
    const fill = (folder: string): void => {
      for (let i = 0; i < 40; i++) writeFileSync(join(folder, `f${i}`), noise(5000, `down${i}`));
    };
    const url = await packed('down', fill, [`${nobody}/store`]);
    const started = performance.now();
    await expect(client.Mount({ name: 'down', url, opt: readOnly })).rejects.toMatchObject({
      remote: { code: 'flist_store_unreachable', details: { route: `${nobody}/store` } },
    });
    await expect(client.Mount({ name: 'down', url: `${nobody}/x.fl`, opt: readOnly })).rejects.toMatchObject({
      message: expect.stringContaining('fail to download flist'),
      remote: { code: 'flist_unreachable' },
    });
    expect(performance.now() - started).toBeLessThan(20_000);
    await expect(client.Mount({ name: 'down', url: `${server.url}/no.fl`, opt: readOnly })).rejects.toThrow('404');
    const unroutable = await packed('nowhere', (folder) => writeFileSync(join(folder, 'f'), 'x'), [
      'zdb://h',
      'dir:///etc',
    ]);
    await expect(client.Mount({ name: 'down', url: unroutable, opt: readOnly })).rejects.toThrow('key is not routable');
    expectNothingLeft('down');
  });

  it('says at once that an address has a port that HTTP never uses', async () => {
    const url = 'http://127.0.0.1:6000/x.fl';
    await expect(client.Mount({ name: 'port', url, opt: readOnly })).rejects.toMatchObject({
      remote: { code: 'flist_url_refused', details: { url } },
    });
    const fill = (folder: string): void => writeFileSync(join(folder, 'f'), 'behind a port');
    const routed = await packed('port', fill, ['http://127.0.0.1:1/store']);
    await expect(client.Mount({ name: 'port', url: routed, opt: readOnly })).rejects.toMatchObject({
      message: expect.stringMatching(/^key is not routable: .*'http:\/\/127.0.0.1:1\/store'/),
      remote: { code: 'flist_not_routable' },
    });
    expectNothingLeft('port');
    // One of two: nobody knows whether the other has it whole, so it may mend itself.
    const both = await packed('both', (folder) => writeFileSync(join(folder, 'f'), noise(5000, 'both')), [
      `${server.url}/store-both`,
      `${nobody}/store`,
    ]);
    server.intercept = (path, response) => path.startsWith('/store-both') && Boolean(response.end('garbage'));
    await expect(client.Mount({ name: 'both', url: both, opt: readOnly })).rejects.toMatchObject({
      message: expect.stringMatching(/ is corrupt: /),
      remote: { code: 'flist_store_unreachable', details: { route: `${nobody}/store` } },
    });
  });

  it.each(['', '.', '..', '../x', 'a/b', 'a b', '-o', 'x'.repeat(201), '/etc'])(
    'refuses the mount name %j',
    async (name) => {
      await expect(client.Mount({ name, url: file, opt: readOnly })).rejects.toMatchObject({
        remote: { code: 'flist_invalid_name' },
      });
      await expect(client.Unmount({ name })).rejects.toMatchObject({ remote: { code: 'flist_invalid_name' } });
    },
  );

  it('reads only flists of version 2 from where it may', async () => {
    writeFileSync(join(share, 'secret.fl'), 'secret');
    symlinkSync(join(share, 'secret.fl'), join(top, 'allowed/link.fl'));
    symlinkSync(share, join(top, 'allowed/out'));
    execFileSync('mkfifo', [join(top, 'allowed/fifo.fl')]);
    writeFileSync(join(top, 'allowed/large.fl'), Buffer.alloc(65 * MIB));
    for (const [url, code] of [
      [`file://${share}/secret.fl`, 'flist_url_refused'],
      [`file://${top}/allowed/link.fl`, 'flist_not_found'],
      [`file://${top}/allowed/out/secret.fl`, 'flist_url_refused'],
      [`file://${top}/allowed/../share/secret.fl`, 'flist_url_refused'],
      [`file://${top}/allowed/fifo.fl`, 'flist_url_refused'],
      [`file://${top}/allowed/none.fl`, 'flist_not_found'],
      [`file://${top}/allowed/large.fl`, 'flist_too_large'],
      ['file://host/x.fl', 'flist_url_refused'],
      ['ftp://127.0.0.1/x.fl', 'flist_url_refused'],
      ['data:text/plain,x.fl', 'flist_url_refused'],
      ['nonsense', 'flist_url_refused'],
      ['http://user:pass@127.0.0.1/x.fl', 'flist_url_refused'],
      [`${server.url}/x.flist`, 'flist_version_unsupported'],
      [`${server.url}/x.tar`, 'flist_unknown_extension'],
      [`${server.url}/secret.fl`, 'flist_malformed'],
    ] as const) {
      const error = await client.Mount({ name: 'src', url, opt: readOnly }).catch((caught: unknown) => caught);
      expect(error, url).toMatchObject({ remote: { code } });
      expect((error as Error).message).not.toContain('user:pass');
    }
    expectNothingLeft('src');
  });

  it('kept mounts over a restart, and nothing half over a kill during unpacking', async () => {
    const kept = await client.Mount({ name: 'kept', url: file, opt: readOnly });
    const url = await packed('slow', (folder) => {
      for (let i = 0; i < 60; i++) writeFileSync(join(folder, `f${i}`), noise(20_000, `slow${i}`));
    });
    holdInTheMiddle();
    const giveUp = new AbortController();
    const pending = client
      .Mount({ name: 'slow', url, opt: readOnly }, { signal: giveUp.signal })
      .catch((error: unknown) => error);
    await expect.poll(() => server.requests.length).toBeGreaterThan(30);
    expect(readdirSync(base).some((entry) => entry.startsWith('.unpack-'))).toBe(true);
    await restart('SIGKILL');
    giveUp.abort();
    expect(await pending).toMatchObject({ name: 'ZbusError' });
    expectNothingLeft('slow');
    expect(listTree(kept)).toEqual(listTree(tree));
    expect(await client.Exists({ name: 'kept' })).toBe(true);
    expect(await client.Mount({ name: 'kept', url: file, opt: readOnly })).toBe(kept);
    server.intercept = undefined;
    const path = await client.Mount({ name: 'slow', url, opt: readOnly });
    expect(listTree(path)).toEqual(listTree(join(top, 'tree-slow')));
    await client.Unmount({ name: 'slow' });
    await client.Unmount({ name: 'kept' });
  });

  it('stops fetching when the caller gives up', async () => {
    const url = await packed('given', (folder) => {
      for (let i = 0; i < 100; i++) writeFileSync(join(folder, `f${i}`), noise(5000, `given${i}`));
    });
    holdInTheMiddle();
    await expect(client.Mount({ name: 'given', url, opt: readOnly }, { deadlineMs: 2000 })).rejects.toMatchObject({
      kind: 'deadline',
    });
    await expect.poll(() => readdirSync(base).filter((entry) => entry.startsWith('.'))).toEqual([]);
    server.intercept = undefined;
    expect(server.requests.length).toBeLessThan(90);
    expect(existsSync(join(state, 'flistd/mnt/given'))).toBe(false);
  });

  it('keeps its cache within bounds: the longest unused goes, what is mounted stays', async () => {
    const urls: string[] = [];
    for (const name of ['c1', 'c2', 'c3']) {
      urls.push(await packed(name, (folder) => writeFileSync(join(folder, 'f'), noise(4 * MIB, name))));
    }
    const [first = '', second = '', third = ''] = urls;
    await daemon?.stop();
    rmSync(base, { recursive: true });
    await start({ 'cache-size': String(9 * MIB) });
    await client.Mount({ name: 'c1', url: first, opt: readOnly });
    await client.Mount({ name: 'c2', url: second, opt: readOnly });
    await expect(client.Mount({ name: 'c3', url: third, opt: readOnly })).rejects.toMatchObject({
      remote: { code: 'flist_cache_full', details: { limit: 9 * MIB } },
    });
    await client.Unmount({ name: 'c1' });
    await client.Mount({ name: 'c3', url: third, opt: readOnly });
    expect(readdirSync(base)).toHaveLength(2);
    expect(statSync(join(state, 'flistd/mnt/c2/f')).size).toBe(4 * MIB);
    await client.Unmount({ name: 'c2' });
    await client.Unmount({ name: 'c3' });
    await restart();
  });

  it('answers in words when storaged is down', async () => {
    await disks?.stop();
    const opt = { ...readOnly, ReadOnly: false, Limit: 40 * MIB };
    await expect(client.Mount({ name: 'alone', url: file, opt })).rejects.toThrow(/storage/);
    expectNothingLeft('alone');
    const flags = { state, broker: redis.broker, 'pool-size': String(512 * MIB), 'cache-size': '0' };
    disks = await startDaemon(storaged, flags);
  });

  it('purge takes everything away, also twice and with mounts in use', async () => {
    await client.Mount({ name: 'p1', url: file, opt: readOnly });
    await client.Mount({ name: 'p2', url: file, opt: { ...readOnly, ReadOnly: false, Limit: 40 * MIB } });
    await daemon?.stop('SIGKILL');
    await disks?.stop('SIGKILL');
    for (let i = 0; i < 2; i++) {
      purge('flistd', state);
      purge('storaged', state);
    }
    expect(listMounts().filter((mount) => mount.target.startsWith(top))).toEqual([]);
    expect(readdirSync(state)).toEqual([]);
  });
});
