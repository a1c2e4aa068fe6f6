/** flistd over a restart of the host: mounts are gone, its folder and its records stay. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mountsBelow } from '../host/mounts.ts';
import { storage } from '../storaged/interface.ts';
import { startDaemon, type TestDaemon } from '../storaged/testing/daemon.ts';
import { ZbusClient } from '../zbus/client.ts';
import type { Client } from '../zbus/definition.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { packFlist } from './format/index.ts';
import { flist } from './interface.ts';
import { serveFolder, type TestServer } from './testing/server.ts';
import { listTree, noise } from './testing/tree.ts';

const MIB = 1024 ** 2;
/** Hubs and stores of these tests are on loopback. */
const loopback = { 'allow-address': '127.0.0.0/8' };
const isRoot = process.getuid?.() === 0;
const purge = (module: string, state: string): void => {
  execFileSync(process.execPath, [join(import.meta.dirname, '..', module, 'purge.ts'), '--state', state]);
};

describe.skipIf(!isRoot)('flistd after a restart of the host', { timeout: 120_000 }, () => {
  const top = mkdtempSync(join(tmpdir(), 'gn-fr-'));
  const state = join(top, 'state');
  const share = join(top, 'share');
  const base = join(state, 'flistd/cache/base');
  const readOnly = { ReadOnly: true, Limit: 0, Storage: '', PersistedVolume: '' };
  let redis: TestRedis;
  let bus: ZbusClient;
  let client: Client<typeof flist>;
  let disks: TestDaemon | undefined;
  let daemon: TestDaemon | undefined;
  let server: TestServer;

  const start = async (flags: Record<string, string> = {}): Promise<void> => {
    daemon = await startDaemon(join(import.meta.dirname, 'main.ts'), {
      state,
      broker: redis.broker,
      ...loopback,
      ...flags,
    });
  };
  /** The process and all mounts are gone at once; `meanwhile` runs before the next start. */
  const reboot = async (meanwhile: () => unknown = () => undefined, flags = {}): Promise<void> => {
    await daemon?.stop('SIGKILL');
    for (const { target } of mountsBelow(join(state, 'flistd'))) execFileSync('umount', [target]);
    await meanwhile();
    await start(flags);
  };
  const stopServer = (): Promise<void> => server.stop();
  // It comes back on its port, which meanwhile nobody else takes: no other process uses this address.
  const host = `127.7.${process.pid & 0xff}.${((process.pid >> 8) % 254) + 1}`;
  const startServer = async (): Promise<void> => {
    server = await serveFolder(share, Number(new URL(server.url).port), host);
  };
  /** From now on the server answers thirty requests and leaves the others waiting. */
  const holdInTheMiddle = (): void => {
    server.requests.length = 0;
    server.intercept = () => server.requests.length > 30;
  };
  const packed = async (name: string, fill: (folder: string) => void): Promise<string> => {
    const folder = join(top, `tree-${name}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    fill(folder);
    await packFlist({
      directory: folder,
      output: join(share, `${name}.fl`),
      store: `dir://${share}/store-${name}`,
      routes: [{ start: 0, end: 255, url: `${server.url}/store-${name}` }],
    });
    return `${server.url}/${name}.fl`;
  };
  const commandLine = (pid: number): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
    } catch {
      return '';
    }
  };
  const unpackProcesses = (): number[] =>
    readFileSync(`/proc/${daemon?.pid}/task/${daemon?.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number)
      .filter((pid) => commandLine(pid).includes('flistd-unpack'));

  beforeAll(async () => {
    for (const folder of [state, share]) mkdirSync(folder);
    redis = await startRedis();
    server = await serveFolder(share, 0, host);
    bus = new ZbusClient({ broker: redis.broker, deadlineMs: 30_000 });
    client = bus.of(flist);
    const flags = { state, broker: redis.broker, 'pool-size': String(512 * MIB), 'cache-size': '0' };
    disks = await startDaemon(join(import.meta.dirname, '../storaged/main.ts'), flags);
    await start();
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

  it('W4: mounts again what was mounted, with nobody on the network', async () => {
    const url = await packed('web', (folder) => {
      for (let i = 0; i < 10; i++) writeFileSync(join(folder, `f${i}`), noise(30_000, `web${i}`));
    });
    const tree = listTree(join(top, 'tree-web'));
    const volume = await bus.of(storage).VolumeCreate({ name: 'rootfs:vm', size: 50 * MIB });
    const writable = { ...readOnly, ReadOnly: false, PersistedVolume: volume.Path };
    const own = { ...readOnly, ReadOnly: false, Limit: 40 * MIB };
    await client.Mount({ name: 'ro', url, opt: readOnly });
    writeFileSync(join(await client.Mount({ name: 'vm', url, opt: writable }), 'written'), 'kept');
    writeFileSync(join(await client.Mount({ name: 'own', url, opt: own }), 'written'), 'kept');

    await reboot(stopServer);
    expect(await client.Exists({ name: 'vm' })).toBe(false);
    expect(listTree(await client.Mount({ name: 'ro', url, opt: readOnly }))).toEqual(tree);
    for (const [name, opt] of [
      ['vm', writable],
      ['own', own],
    ] as const) {
      const path = await client.Mount({ name, url, opt });
      expect(readFileSync(join(path, 'written'), 'utf8')).toBe('kept');
      expect(readFileSync(join(path, 'f3'))).toEqual(noise(30_000, 'web3'));
    }
    const remounts = (): number =>
      daemon?.log.filter((line) => String(line.msg).includes('again from the cache')).length ?? 0;
    await expect.poll(remounts).toBe(3);
    expect(await client.HashFromRootPath({ name: 'vm' })).toHaveLength(32);

    for (const [name, address] of [
      ['new', url],
      ['vm2', url],
      ['ro2', `${server.url}/other.fl`],
    ] as const) {
      await expect(client.Mount({ name, url: address, opt: readOnly })).rejects.toMatchObject({
        message: expect.stringContaining('fail to download flist'),
        remote: { code: 'flist_unreachable' },
      });
      expect(existsSync(join(state, 'flistd/mounts', `${name}.json`))).toBe(false);
    }
    for (const name of ['ro', 'vm', 'own']) await client.Unmount({ name });
    expect(readdirSync(join(state, 'flistd/mounts'))).toEqual([]);
    expect(await bus.of(storage).VolumeExists({ name: 'own' })).toBe(false);
    await bus.of(storage).VolumeDelete({ name: 'rootfs:vm' });
    // Once unmounted, a name is as new.
    await expect(client.Mount({ name: 'ro', url, opt: readOnly })).rejects.toThrow('fail to download flist');
    await startServer();
  });

  it('keeps the image that a name was given though its address gives another by now', async () => {
    const url = await packed('moving', (folder) => writeFileSync(join(folder, 'f'), 'first'));
    const content = async (name: string): Promise<string> =>
      readFileSync(join(await client.Mount({ name, url, opt: readOnly }), 'f'), 'utf8');
    expect(await content('old')).toBe('first');
    await packed('moving', (folder) => writeFileSync(join(folder, 'f'), 'second'));
    await reboot();
    expect(await content('old')).toBe('first');
    expect(await content('new')).toBe('second');
    await client.Unmount({ name: 'old' });
    expect(await content('old')).toBe('second');
    for (const name of ['old', 'new']) await client.Unmount({ name });
  });

  it('evicts no image that a name refers to, mounted or not', async () => {
    const urls: string[] = [];
    for (const name of ['c1', 'c2']) {
      urls.push(await packed(name, (folder) => writeFileSync(join(folder, 'f'), noise(4 * MIB, name))));
    }
    const [first = '', second = ''] = urls;
    const size = { 'cache-size': String(5 * MIB) };
    await reboot(() => rmSync(base, { recursive: true }), size);
    await client.Mount({ name: 'c1', url: first, opt: readOnly });
    await reboot(undefined, size);
    await expect(client.Mount({ name: 'c2', url: second, opt: readOnly })).rejects.toMatchObject({
      remote: { code: 'flist_cache_full' },
    });
    expect(unpackProcesses()).toEqual([]);
    await stopServer();
    await client.Mount({ name: 'c1', url: first, opt: readOnly });
    await startServer();
    await reboot(undefined, size);
    await client.Unmount({ name: 'c1' });
    await client.Mount({ name: 'c2', url: second, opt: readOnly });
    expect(readdirSync(base)).toHaveLength(1);
    await client.Unmount({ name: 'c2' });
    await reboot();
  });

  const damages: [string, (folder: string) => void][] = [
    ['was removed', (folder) => rmSync(folder, { recursive: true })],
    ['has lost its tree', (folder) => rmSync(join(folder, 'root'), { recursive: true })],
    ['has no readable facts', (folder) => writeFileSync(join(folder, 'base.json'), '{"sha256":')],
    [
      'belongs to another flist',
      (folder) => {
        const facts = JSON.parse(readFileSync(join(folder, 'base.json'), 'utf8')) as object;
        writeFileSync(join(folder, 'base.json'), JSON.stringify({ ...facts, sha256: '0'.repeat(64) }));
      },
    ],
    [
      'may not have reached the disk',
      (folder) => {
        const facts = JSON.parse(readFileSync(join(folder, 'base.json'), 'utf8')) as object;
        writeFileSync(join(folder, 'base.json'), JSON.stringify({ ...facts, boot: 'an earlier one' }));
        rmSync(join(folder, 'durable'), { force: true });
      },
    ],
  ];
  it.each(damages)('fetches again an image that %s', async (_, damage) => {
    const url = await packed('hurt', (folder) => writeFileSync(join(folder, 'f'), noise(50_000, 'hurt')));
    await reboot(() => rmSync(base, { recursive: true }));
    const path = await client.Mount({ name: 'hurt', url, opt: readOnly });
    const [name = ''] = readdirSync(base);
    await expect.poll(() => existsSync(join(base, name, 'durable'))).toBe(true);
    await reboot(() => damage(join(base, name)));
    await stopServer();
    await expect(client.Mount({ name: 'hurt', url, opt: readOnly })).rejects.toMatchObject({
      remote: { code: 'flist_unreachable' },
    });
    expect(existsSync(join(state, 'flistd/mounts/hurt.json'))).toBe(true);
    await startServer();
    expect(await client.Mount({ name: 'hurt', url, opt: readOnly })).toBe(path);
    expect(listTree(path)).toEqual(listTree(join(top, 'tree-hurt')));
    await client.Unmount({ name: 'hurt' });
  });

  it('notices while it runs that the tree of an image is gone', async () => {
    const url = await packed('gone', (folder) => writeFileSync(join(folder, 'f'), 'here'));
    await reboot(() => rmSync(base, { recursive: true }));
    await client.Mount({ name: 'gone', url, opt: readOnly });
    await client.Unmount({ name: 'gone' });
    const [name = ''] = readdirSync(base);
    rmSync(join(base, name, 'root'), { recursive: true });
    const path = await client.Mount({ name: 'gone', url, opt: readOnly });
    expect(readFileSync(join(path, 'f'), 'utf8')).toBe('here');
    await client.Unmount({ name: 'gone' });
  });

  it('a killed unpacking fails for all who wait, leaves nothing, and works the next time', async () => {
    const url = await packed('killed', (folder) => {
      for (let i = 0; i < 60; i++) writeFileSync(join(folder, `f${i}`), noise(20_000, `killed${i}`));
    });
    holdInTheMiddle();
    const waiting = ['k1', 'k2'].map((name) =>
      client.Mount({ name, url, opt: readOnly }).catch((error: unknown) => error),
    );
    await expect.poll(() => server.requests.length).toBeGreaterThan(30);
    await expect
      .poll(async () => (await bus.status('flist')).Workers.filter(({ Action }) => /Mount/.test(Action)).length)
      .toBe(2);
    const pids = unpackProcesses();
    expect(pids).toHaveLength(1);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    for (const error of await Promise.all(waiting)) {
      expect(error).toMatchObject({ remote: { code: 'flist_unpack_failed' } });
    }
    expect(readdirSync(base).filter((entry) => entry.startsWith('.'))).toEqual([]);
    expect(readdirSync(join(state, 'flistd/cache/fetched')).filter((entry) => entry.endsWith('.fl'))).toEqual([]);
    server.intercept = undefined;
    const path = await client.Mount({ name: 'k1', url, opt: readOnly });
    expect(listTree(path)).toEqual(listTree(join(top, 'tree-killed')));
    await client.Unmount({ name: 'k1' });
    expect(unpackProcesses()).toEqual([]);
  });

  it('an unpacking ends with its daemon', async () => {
    const url = await packed('orphan', (folder) => {
      for (let i = 0; i < 60; i++) writeFileSync(join(folder, `f${i}`), noise(20_000, `orphan${i}`));
    });
    holdInTheMiddle();
    const giveUp = new AbortController();
    const pending = client.Mount({ name: 'o', url, opt: readOnly }, { signal: giveUp.signal }).catch(() => undefined);
    await expect.poll(() => server.requests.length).toBeGreaterThan(30);
    const [pid = 0] = unpackProcesses();
    expect(pid).toBeGreaterThan(0);
    await reboot();
    // At most a dead process that nobody has asked for its status yet.
    await expect.poll(() => commandLine(pid)).toBe('');
    expect(readdirSync(base).filter((entry) => entry.startsWith('.'))).toEqual([]);
    giveUp.abort();
    await pending;
    server.intercept = undefined;
  });
});
