import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeKey, generatePrivateKey, isKey, openWireguard, publicKeyOf, type WireguardDriver } from './index.ts';
import { KernelWireguard, parseDump } from './kernel.ts';
import { decodeGet, encodeSet } from './uapi.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

describe('keys', () => {
  it('are those of wg', async () => {
    const key = generatePrivateKey();
    const child = run('wg', ['pubkey']);
    child.child.stdin?.end(key);
    expect(publicKeyOf(key)).toBe((await child).stdout.trim());
  });

  it('are 32 bytes and nothing else, and a refusal does not repeat them', () => {
    expect(isKey(generatePrivateKey())).toBe(true);
    expect(decodeKey('2B1ZRWY8yWHsLf0uJXTFeeZyqxMGTcl2BKYdbWYbiVA=')).toHaveLength(32);
    for (const bad of [
      '',
      'x',
      `${'A'.repeat(43)}B`,
      `${'A'.repeat(42)}B=`,
      `${'A'.repeat(43)}=\nset=1`,
      'A'.repeat(44),
    ]) {
      expect(isKey(bad)).toBe(false);
      expect(() => decodeKey(bad)).toThrow(/^not a WireGuard key/);
    }
    expect(() => publicKeyOf('secret')).toThrow(expect.not.stringContaining('secret'));
  });
});

describe('configuration protocol', () => {
  const [one, two] = [publicKeyOf(generatePrivateKey()), publicKeyOf(generatePrivateKey())];
  const peer = { publicKey: one, allowedIps: ['10.1.0.0/16', 'fd00::/64'], endpoint: '[::1]:5', keepaliveSeconds: 20 };
  const status = { lastHandshakeSeconds: 0, rxBytes: 0, txBytes: 0 };

  it('says only what changes of key and port, and takes surplus peers away', () => {
    const privateKey = generatePrivateKey();
    const gone = { ...status, publicKey: two, allowedIps: [] };
    const message = encodeSet(
      { privateKey, listenPort: 7, peers: [peer] },
      { privateKey, listenPort: 7, peers: [gone] },
    );
    expect(message.split('\n')).toEqual([
      'set=1',
      `public_key=${decodeKey(two).toString('hex')}`,
      'remove=true',
      `public_key=${decodeKey(one).toString('hex')}`,
      'endpoint=[::1]:5',
      'persistent_keepalive_interval=20',
      'replace_allowed_ips=true',
      'allowed_ip=10.1.0.0/16',
      'allowed_ip=fd00::/64',
      '',
      '',
    ]);
    expect(encodeSet({ privateKey, listenPort: 7, peers: [] }, { privateKey, listenPort: 7, peers: [] })).toBe('');
  });

  it('reads an answer', () => {
    const key = decodeKey(one).toString('hex');
    expect(
      decodeGet(
        `private_key=${'0'.repeat(64)}\nlisten_port=9\npublic_key=${key}\nendpoint=1.2.3.4:5\nrx_bytes=3\nallowed_ip=10.0.0.0/8\n`,
      ),
    ).toEqual({
      listenPort: 9,
      peers: [{ ...status, publicKey: one, allowedIps: ['10.0.0.0/8'], endpoint: '1.2.3.4:5', rxBytes: 3 }],
    });
  });
});

describe.skipIf(!isRoot)('devices', () => {
  const prefix = `wt${randomBytes(3).toString('hex')}`;
  const [left, right] = [`${prefix}-l`, `${prefix}-r`];
  const file = (name: string) => `/run/netns/${name}`;
  // Both ends have their sockets in the left namespace, on its loopback.
  const ends = [
    { place: { name: 'wga', namespace: file(left), socketNamespace: file(left) }, port: 4301, ip: '10.7.0.1' },
    { place: { name: 'wgb', namespace: file(right), socketNamespace: file(left) }, port: 4302, ip: '10.7.0.2' },
  ] as const;
  const keys = [generatePrivateKey(), generatePrivateKey()] as const;
  let folder = '';
  let driver: WireguardDriver;

  const configOf = (at: 0 | 1, listenPort: number = ends[at].port) => {
    const other = at === 0 ? 1 : 0;
    return {
      privateKey: keys[at],
      listenPort,
      peers: [
        {
          publicKey: publicKeyOf(keys[other]),
          allowedIps: [`${ends[other].ip}/32`],
          endpoint: `127.0.0.1:${ends[other].port}`,
        },
      ],
    };
  };
  const up = async (at: 0 | 1) => {
    const { place, ip } = ends[at];
    await driver.ensureDevice(place);
    await driver.configure(place, configOf(at));
    const space = at === 0 ? left : right;
    await run('ip', ['-n', space, 'address', 'replace', `${ip}/24`, 'dev', place.name]);
    await run('ip', ['-n', space, 'link', 'set', place.name, 'mtu', '1420', 'up']);
  };
  const ping = () =>
    run('ip', ['netns', 'exec', left, 'busybox', 'ping', '-c', '1', '-W', '3', ends[1].ip]).then(
      () => true,
      () => false,
    );

  beforeAll(async () => {
    // Longer than a socket address can be.
    folder = join(await mkdtemp(join(tmpdir(), 'gridnode-wg-')), 'x'.repeat(120));
    for (const space of [left, right]) await run('ip', ['netns', 'add', space]);
    await run('ip', ['-n', left, 'link', 'set', 'lo', 'up']);
    driver = await openWireguard({ folder });
    await up(0);
    await up(1);
  });
  afterAll(async () => {
    for (const { place } of ends) await driver.remove(place);
    for (const space of [left, right]) await run('ip', ['netns', 'del', space]);
    await rm(join(folder, '..'), { recursive: true, force: true });
  });

  it('carry packets between namespaces', async () => {
    await expect.poll(ping).toBe(true);
    const status = await driver.status(ends[0].place);
    expect(status).toMatchObject({ publicKey: publicKeyOf(keys[0]), listenPort: 4301 });
    expect(status?.peers[0]).toMatchObject({ publicKey: publicKeyOf(keys[1]), endpoint: '127.0.0.1:4302' });
    expect(status?.peers[0]?.rxBytes).toBeGreaterThan(0);
  });

  it('are found again by another process with the same folder', async () => {
    const again = await openWireguard({ folder });
    expect(await again.ensureDevice(ends[0].place)).toEqual({ created: false });
    const handshake = (await again.status(ends[0].place))?.peers[0]?.lastHandshakeSeconds;
    await again.configure(ends[0].place, configOf(0));
    expect((await again.status(ends[0].place))?.peers[0]?.lastHandshakeSeconds).toBe(handshake);
    await expect.poll(ping).toBe(true);
  });

  it('keep secrets out of argument lists and world-readable files', async () => {
    const { stdout } = await run('ps', ['-eo', 'args']);
    expect(stdout).not.toContain(keys[0]);
    for (const name of await readdir(folder).catch(() => [] as string[])) {
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
      expect(await readFile(join(folder, name), 'utf8')).not.toContain(keys[0]);
    }
  });

  it('say when their port is taken', async () => {
    await expect(driver.configure(ends[0].place, configOf(0, 4302))).rejects.toMatchObject({
      reason: 'address_in_use',
    });
    await driver.configure(ends[0].place, configOf(0));
    expect((await driver.status(ends[0].place))?.listenPort).toBe(4301);
  });

  it('come back after their process was killed, and after their namespace went away', async () => {
    if (driver.kind === 'userspace') {
      const { pid } = JSON.parse(await readFile(join(folder, 'wga.json'), 'utf8')) as { pid: number };
      process.kill(pid, 'SIGKILL');
      await expect.poll(() => driver.lives(ends[0].place)).toBe(false);
      expect(await driver.lives(ends[1].place)).toBe(true);
      await expect.poll(() => driver.status(ends[0].place)).toBeUndefined();
      expect(await driver.ensureDevice(ends[0].place)).toEqual({ created: true });
    }
    await run('ip', ['netns', 'del', right]);
    await run('ip', ['netns', 'add', right]);
    expect(await driver.ensureDevice(ends[1].place)).toEqual({ created: true });
    await up(0);
    await up(1);
    await expect.poll(ping).toBe(true);
  });

  it('are not confused by a record of another process', async () => {
    const place = { name: 'wgc', namespace: file(left) };
    await driver.remove(place);
    await writeFile(join(folder, 'wgc.json'), JSON.stringify({ pid: process.pid, startTicks: '1' })).catch(
      () => undefined,
    );
    expect(await driver.status(place)).toBeUndefined();
    await driver.ensureDevice(place);
    await driver.remove(place);
    await driver.remove(place);
    expect(await driver.status(place)).toBeUndefined();
  });

  it('take the text the kernel driver writes, and its reader reads what wg prints', async () => {
    if (driver.kind === 'kernel') return;
    const sockets = await readdir('/var/run/wireguard');
    for (const socket of sockets) {
      const name = socket.replace(/\.sock$/, '');
      const dump = await run('wg', ['show', name, 'dump']).catch(() => undefined);
      if (
        dump === undefined ||
        !dump.stdout.includes(publicKeyOf(keys[0]).slice(0, 20)) ||
        !dump.stdout.includes('\t4301\t')
      )
        continue;
      const peer = {
        publicKey: publicKeyOf(keys[1]),
        endpoint: '127.0.0.1:4302',
        allowedIps: ['10.7.0.2/32', '10.8.0.0/16'],
        keepaliveSeconds: 20,
      };
      await new KernelWireguard().configure({ name }, { ...configOf(0), peers: [peer] });
      const status = parseDump((await run('wg', ['show', name, 'dump'])).stdout);
      expect(status).toMatchObject({ publicKey: publicKeyOf(keys[0]), listenPort: 4301 });
      expect(status.peers[0]).toMatchObject({
        allowedIps: ['10.7.0.2/32', '10.8.0.0/16'],
        keepaliveSeconds: 20,
        endpoint: '127.0.0.1:4302',
      });
      expect(await driver.status(ends[0].place)).toMatchObject({ peers: [{ keepaliveSeconds: 20 }] });
      return;
    }
    throw new Error('wg does not see the device');
  });
});
