import { spawn } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generatePrivateKey, openWireguard, publicKeyOf } from '../wireguard/index.ts';
import { network } from './interface.ts';
import { formatIp, formatPrefix, parseIp, parsePrefix, prefixOf, toIpNet } from './plan/address.ts';
import { networkRequest, TestNode, WORLD } from './testing/node.ts';

const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)('networkd', { timeout: 120_000 }, () => {
  const node = new TestNode();

  beforeAll(async () => {
    await node.start();
    await node.startDaemon({ flags: ['--uplink', 'up0', '--tap-user', '4242'] });
  });
  afterAll(() => node.stop());

  it('gives a machine its gateway and the world beyond the uplink', async () => {
    const namespace = await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa') });
    expect(namespace).toBe(`${node.name}.n-aaa`);
    expect(await node.network.Namespace({ id: 'aaa' })).toBe(namespace);
    const vm = await node.machine('aaa', 'vma', '10.20.2.5/24');
    await expect.poll(() => node.ping(vm, '10.20.2.1')).toBe(true);
    await expect.poll(() => node.ping(vm, WORLD)).toBe(true);
    // Neither the machine's services nor what lies behind its other addresses.
    expect(await node.ping(vm, '169.254.127.1')).toBe(false);
    expect((await node.network.Metrics({})).get('1-1-a')?.NetTxPackets).toBeGreaterThan(0);
  });

  it('answers what it was told', async () => {
    const net = await node.network.GetNet({ networkID: 'aaa' });
    const subnet = await node.network.GetSubnet({ networkID: 'aaa' });
    expect([net, subnet].map((one) => formatPrefix(prefixOf(one) ?? parsePrefix('0.0.0.0/0')))).toEqual([
      '10.20.0.0/16',
      '10.20.2.0/24',
    ]);
    const [four, six] = await node.network.GetDefaultGwIP({ networkID: 'aaa' });
    expect([four, six].map((ip) => formatIp(ip ?? new Uint8Array(4)))).toEqual(['10.20.2.1', 'fd61:6161:d41d:2::1']);
    const from = await node.network.GetIPv6From4({ networkID: 'aaa', ip: parseIp('10.20.2.16') });
    expect(formatPrefix(prefixOf(from) ?? parsePrefix('::/0'))).toBe('fd61:6161:d41d:2::10/64');
    const all = (await node.network.Interfaces({ iface: '', netns: '' })).Interfaces;
    expect(all.get('zos')?.IPs).toEqual([toIpNet(parsePrefix('198.51.100.2/24'))]);
    const [ips] = await node.network.Addrs({ iface: 'public', netns: 'n-aaa' });
    expect(ips.map((ip) => formatIp(ip ?? new Uint8Array(4)))).toContain('100.127.0.2');
    expect(await node.network.Addrs({ iface: 'public', netns: `${node.name}.n-aaa` })).toHaveLength(2);
  });

  it('joins machines of one network, and gives them IPv6 to their gateway', async () => {
    const vm = `${node.name}-vm-vma`;
    await node.machine('aaa', 'vmd', '10.20.2.8/24');
    await expect.poll(() => node.ping(vm, '10.20.2.8')).toBe(true);
    await node.ip('-n', vm, 'address', 'add', 'fd61:6161:d41d:2::5/64', 'dev', 'eth0', 'nodad');
    await expect.poll(() => node.ping(vm, 'fd61:6161:d41d:2::1')).toBe(true);
  });

  it('keeps networks with the same addresses apart', async () => {
    await node.network.CreateNR({ wl: '2-1-b', network: networkRequest('bbb') });
    const other = await node.machine('bbb', 'vmb', '10.20.2.5/24');
    const vm = `${node.name}-vm-vma`;
    await expect.poll(() => node.ping(other, WORLD)).toBe(true);
    const [ips] = await node.network.Addrs({ iface: 'public', netns: 'n-bbb' });
    const uplink = formatIp(ips.find((ip) => ip?.length === 4) ?? new Uint8Array(4));
    expect(uplink).toBe('100.127.0.3');
    // Routers of two tenants do not reach each other, not even as neighbours.
    expect(await node.ping(vm, uplink)).toBe(false);
    await node.inside('n-aaa', 'busybox', 'ping', '-c', '1', '-W', '1', uplink).catch(() => undefined);
    expect(await node.inside('n-aaa', 'ip', 'neigh', 'show', uplink)).not.toContain('lladdr');
    // From outside nothing new comes in, even with a route.
    await node.ip('-n', node.world, 'route', 'replace', '10.20.2.0/24', 'via', '198.51.100.2');
    await node.ip('-n', node.world, 'route', 'replace', '100.127.0.0/16', 'via', '198.51.100.2');
    expect(await node.ping(node.world, '10.20.2.5')).toBe(false);
    expect(await node.ping(node.world, '100.127.0.2')).toBe(false);
  });

  it('lets a tap send only as itself', async () => {
    const liar = await node.machine('aaa', 'vmc', '10.20.2.7/24', '02:00:00:00:00:99');
    expect(await node.ping(liar, '10.20.2.1')).toBe(false);
    const vm = `${node.name}-vm-vma`;
    await node.ip('-n', vm, 'address', 'add', '10.99.0.1/24', 'dev', 'eth0');
    await expect(
      node.inside(vm, 'busybox', 'ping', '-c', '1', '-W', '1', '-I', '10.99.0.1', '10.20.2.1'),
    ).rejects.toThrow();
    // The host shares the bridge, but is no neighbour.
    await node.inside('', 'ip', 'address', 'add', '10.20.2.200/32', 'dev', 'lo');
    expect(await node.ping(vm, '10.20.2.200')).toBe(false);
    await node.inside('', 'ip', 'address', 'del', '10.20.2.200/32', 'dev', 'lo');
    await expect.poll(() => node.ping(vm, '10.20.2.1')).toBe(true);
  });

  it('hides the services of the machine', async () => {
    const program = "require('node:net').createServer((c) => c.end('secret')).listen(8088)";
    const server = spawn('nsenter', [`--net=/run/netns/${node.name}`, '--', process.execPath, '-e', program], {
      stdio: 'ignore',
    });
    try {
      const reached = () => node.inside('', 'busybox', 'nc', '-w', '2', '198.51.100.2', '8088');
      await expect.poll(reached).toBe('secret');
      await expect(
        node.inside(`${node.name}-vm-vma`, 'busybox', 'nc', '-w', '2', '198.51.100.2', '8088'),
      ).rejects.toThrow();
    } finally {
      server.kill('SIGKILL');
    }
  });

  it('refuses mail to the world', async () => {
    const vm = `${node.name}-vm-vma`;
    const started = Date.now();
    await expect(node.inside(vm, 'busybox', 'nc', '-w', '5', WORLD, '25')).rejects.toThrow();
    expect(Date.now() - started).toBeLessThan(3000);
    expect(await node.inside('n-aaa', 'nft', 'list', 'chain', 'inet', 'filter', 'forward')).toMatch(
      /dport 25 counter packets [1-9]/,
    );
  });

  it('makes, finds and removes taps', async () => {
    expect(await node.network.TapExists({ name: 'vmx' })).toBe(false);
    expect(await node.network.SetupPrivTap({ networkID: 'aaa', name: 'vmx' })).toBe('t-vmx');
    expect(await node.network.SetupPrivTap({ networkID: 'aaa', name: 'vmx' })).toBe('t-vmx');
    expect(await node.network.TapExists({ name: 'vmx' })).toBe(true);
    expect(await node.inside('', 'ip', '-d', 'link', 'show', 'dev', 't-vmx')).toMatch(
      /mtu 1500 .*master b-aaa[\s\S]*user 4242/,
    );
    await expect(node.network.SetupPrivTap({ networkID: 'bbb', name: 'vmx' })).rejects.toMatchObject({
      remote: { code: 'network_tap_taken' },
    });
    await node.network.RemoveTap({ name: 'vmx' });
    await node.network.RemoveTap({ name: 'vmx' });
    expect(await node.network.TapExists({ name: 'vmx' })).toBe(false);
    for (const name of ['', 'a'.repeat(14), '../x', 'a b', 'x;reboot']) {
      await expect(node.network.SetupPrivTap({ networkID: 'aaa', name })).rejects.toMatchObject({
        remote: { code: 'network_invalid' },
      });
    }
    await expect(node.network.SetupPrivTap({ networkID: 'nope', name: 'vmy' })).rejects.toMatchObject({
      remote: { code: 'network_unknown', details: { network: 'nope' } },
    });
  });

  it('refuses a WireGuard port that is taken, and changes nothing', async () => {
    await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa', { WGListenPort: 4100 }) });
    expect(await node.network.WireguardPorts({})).toContain(4100);
    const before = await node.inventory();
    for (const [port, holder] of [
      [4100, 'network'],
      [9651, 'node'],
    ] as const) {
      await expect(
        node.network.CreateNR({ wl: '3-1-c', network: networkRequest('ccc', { WGListenPort: port }) }),
      ).rejects.toMatchObject({
        message: expect.stringMatching(/^wireguard listen port already in use, pick another one/),
        remote: { code: 'network_port_taken', details: { port, holder } },
      });
    }
    expect(await node.inventory()).toBe(before);
    // A network keeps its own port, and gives the old one back when it changes.
    await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa', { WGListenPort: 4100 }) });
    await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa', { WGListenPort: 4101 }) });
    const ports = await node.network.WireguardPorts({});
    expect(ports).toContain(4101);
    expect(ports).not.toContain(4100);
  });

  it('follows a changed subnet', async () => {
    await node.network.CreateNR({ wl: '5-1-e', network: networkRequest('eee') });
    await node.network.SetupPrivTap({ networkID: 'eee', name: 'vme' });
    await node.network.CreateNR({ wl: '5-1-e', network: networkRequest('eee', { subnet: '10.20.9.0/24' }) });
    const addresses = await node.inside('n-eee', 'ip', '-o', 'address');
    expect(addresses).toContain('10.20.9.1/24');
    expect(addresses).toContain('100.64.20.9/16');
    expect(addresses).not.toContain('10.20.2.1');
    expect(await node.inside('', 'nft', 'list', 'set', 'bridge', 'gridnode', 'sources4')).toContain(
      '"t-vme" . 10.20.9.2-10.20.9.254',
    );
    await node.network.DeleteNR({ wl: '5-1-e' });
  });

  it.each([
    ['network id with a path', { NetID: '../../x' }],
    ['empty network id', { NetID: '' }],
    ['no subnet', { Subnet: { IP: null, Mask: null } }],
    ['half a mask', { Subnet: { IP: parseIp('10.0.0.0'), Mask: Uint8Array.of(255, 0, 255, 0) } }],
    ['IPv6 subnet', { subnet: 'fd00::/64' }],
    ['subnet without room', { subnet: '10.20.2.0/31' }],
    ['subnet without its gateway', { subnet: '10.20.2.128/25' }],
    ["the node's own range", { subnet: '100.127.5.0/24' }],
    ['everything as range', { range: '0.0.0.0/0' }],
    ['key that is none', { WGPrivateKey: 'private' }],
    ['key with a line end', { WGPrivateKey: `${'A'.repeat(43)}\n` }],
    [
      'peer key that is none',
      { Peers: [{ Subnet: { IP: null, Mask: null }, WGPublicKey: 'x', AllowedIPs: [], Endpoint: '' }] },
    ],
  ])('refuses %s', async (_, changes) => {
    const before = await node.inventory();
    await expect(node.network.CreateNR({ wl: '9-9-x', network: networkRequest('xxx', changes) })).rejects.toMatchObject(
      { remote: { code: 'network_invalid' } },
    );
    expect(await node.inventory()).toBe(before);
  });

  it('says what it does not offer, at once', async () => {
    const options = { deadlineMs: 2000 };
    await expect(node.network.GetPublicConfig({}, options)).rejects.toThrow(/^no public configuration$/);
    await expect(node.network.GetPublicIPv6Subnet({}, options)).rejects.toThrow(/^no public ipv6 found$/);
    await expect(node.network.SetupYggTap({ name: 'x' }, options)).rejects.toMatchObject({
      remote: { code: 'network_not_offered' },
    });
    await expect(node.network.QSFSPrepare({ id: 'x' }, options)).rejects.toMatchObject({
      remote: { code: 'network_not_offered' },
    });
    await expect(node.network.GetSubnet({ networkID: 'nope' }, options)).rejects.toThrow(/not found on this node/);
    await expect(node.network.Addrs({ iface: 'x; reboot', netns: '' }, options)).rejects.toMatchObject({
      remote: { code: 'network_device_unknown' },
    });
    await expect(node.network.Addrs({ iface: 'lo', netns: '../../etc' }, options)).rejects.toMatchObject({
      remote: { code: 'network_device_unknown' },
    });
    expect(await node.network.PublicIPv4Support({})).toBe(false);
  });

  it('has one way out, and says of each other card why it is none', async () => {
    expect(await node.network.GetPublicExitDevice({})).toEqual({ IsSingle: true, IsDual: false, AsDualInterface: '' });
    const choose = (iface: string) => node.network.SetPublicExitDevice({ iface });
    await choose('zos');
    await expect(choose('')).rejects.toThrow(/^invalid exit bridge must be a physical nic or the default bridge$/);
    await expect(choose('nothing0')).rejects.toMatchObject({ remote: { code: 'network_device_unknown' } });
    await expect(choose('lo')).rejects.toMatchObject({ remote: { code: 'network_exit_invalid' } });
    await expect(choose('up0')).rejects.toThrow(/^device is 'up0' already used$/);
    expect(await node.network.GetPublicExitDevice({})).toMatchObject({ IsSingle: true });
  });

  it('has public IPv6 when the uplink has such an address', async () => {
    const change = (verb: string, address: string) =>
      node.ip('-n', node.name, 'address', verb, address, 'dev', 'up0', 'nodad');
    await change('add', 'fd12::2/64');
    await expect(node.network.GetPublicIPv6Subnet({})).rejects.toThrow(/^no public ipv6 found$/);
    await change('add', '2001:db8::2/64');
    expect(await node.network.GetPublicIPv6Subnet({})).toEqual(toIpNet(parsePrefix('2001:db8::2/64')));
    await node.ip('-n', node.name, 'address', 'del', '2001:db8::2/64', 'dev', 'up0');
    await node.ip('-n', node.name, 'address', 'del', 'fd12::2/64', 'dev', 'up0');
  });

  it('streams the addresses of the uplink', async () => {
    for await (const addresses of node.bus.stream(network, 'ZOSAddresses', { signal: AbortSignal.timeout(15_000) })) {
      expect(addresses).toEqual([toIpNet(parsePrefix('198.51.100.2/24'))]);
      return;
    }
    throw new Error('the stream ended without a value');
  });

  it('keeps keys in files of its own only', async () => {
    const folder = join(node.state, 'networkd', 'networks');
    for (const file of await readdir(folder)) expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600);
    expect((await stat(join(node.state, 'networkd'))).mode & 0o777).toBe(0o700);
    const record = JSON.parse(await readFile(join(folder, 'aaa.json'), 'utf8')) as { spec: { privateKey: string } };
    expect(node.log).not.toContain(record.spec.privateKey);
  });

  it('holds a network for as long as one workload holds it', async () => {
    await node.network.CreateNR({ wl: '4-1-d', network: networkRequest('ddd') });
    await node.network.CreateNR({ wl: '4-2-d', network: networkRequest('ddd') });
    await node.network.DeleteNR({ wl: '4-1-d' });
    expect(await node.network.GetSubnet({ networkID: 'ddd' })).toBeDefined();
    await node.network.DeleteNR({ wl: '4-2-d' });
    await node.network.DeleteNR({ wl: '4-2-d' });
    await expect(node.network.GetSubnet({ networkID: 'ddd' })).rejects.toThrow(/not found/);
  });

  /** The process of each tunnel, by device. */
  const tunnelRecords = async (): Promise<Map<string, { pid: number }>> => {
    const folder = join(node.state, 'networkd/wireguard');
    const read = async (file: string) =>
      [file.replace(/\.json$/, ''), JSON.parse(await readFile(join(folder, file), 'utf8')) as { pid: number }] as const;
    // A record is away for a moment while its device is made again.
    const files = (await readdir(folder)).filter((file) => file.endsWith('.json')).sort();
    return new Map(await Promise.all(files.map(read)));
  };

  const killTunnel = (records: Awaited<ReturnType<typeof tunnelRecords>>): void => {
    const record = records.get('w-aaa');
    if (record === undefined) throw new Error('w-aaa has no process');
    process.kill(record.pid, 'SIGKILL');
  };

  it('lets a user in through the tunnel, also while networkd is away and after its process died', async () => {
    const userKey = generatePrivateKey();
    const user = {
      name: 'wg-user',
      namespace: `/run/netns/${node.world}`,
      socketNamespace: `/run/netns/${node.world}`,
    };
    const driver = await openWireguard({ folder: join(node.state, 'user') });
    try {
      const request = networkRequest('aaa', {
        WGListenPort: 4101,
        Peers: [
          {
            Subnet: toIpNet(parsePrefix('10.20.3.0/24')),
            WGPublicKey: publicKeyOf(userKey),
            AllowedIPs: [toIpNet(parsePrefix('10.20.3.0/24')), toIpNet(parsePrefix('100.64.20.3/32'))],
            Endpoint: '',
          },
        ],
      });
      await node.network.CreateNR({ wl: '1-1-a', network: request });
      await driver.ensureDevice(user);
      const nodePeer = {
        publicKey: publicKeyOf(request.WGPrivateKey),
        endpoint: '198.51.100.2:4101',
        allowedIps: ['10.20.0.0/16', '100.64.0.0/16'],
      };
      await driver.configure(user, { privateKey: userKey, listenPort: 0, peers: [nodePeer] });
      await node.ip('-n', node.world, 'address', 'add', '100.64.20.3/32', 'dev', 'wg-user');
      await node.ip('-n', node.world, 'link', 'set', 'wg-user', 'up');
      await node.ip('-n', node.world, 'route', 'replace', '10.20.0.0/16', 'dev', 'wg-user');
      await node.ip('-n', node.world, 'route', 'del', '10.20.2.0/24');
      await expect.poll(() => node.ping(node.world, '10.20.2.1')).toBe(true);
      await expect.poll(() => node.ping(node.world, '10.20.2.5')).toBe(true);
      const handshake = (await driver.status(user))?.peers[0]?.lastHandshakeSeconds;
      expect(handshake).toBeGreaterThan(0);

      // Another peer more, as by an update: those that are in go on.
      const [peer] = request.Peers ?? [];
      const another = { ...peer, WGPublicKey: publicKeyOf(generatePrivateKey()) } as NonNullable<typeof peer>;
      const elsewhere = toIpNet(parsePrefix('10.20.4.0/24'));
      await node.network.CreateNR({
        wl: '1-1-a',
        network: {
          ...request,
          Peers: [...(request.Peers ?? []), { ...another, Subnet: elsewhere, AllowedIPs: [elsewhere] }],
        },
      });
      await expect.poll(() => node.ping(node.world, '10.20.2.5')).toBe(true);
      expect((await driver.status(user))?.peers[0]?.lastHandshakeSeconds).toBe(handshake);
      await node.network.CreateNR({ wl: '1-1-a', network: request });
      await expect.poll(() => node.ping(node.world, '10.20.2.5')).toBe(true);
      expect((await driver.status(user))?.peers[0]?.lastHandshakeSeconds).toBe(handshake);

      await node.stopDaemon('SIGKILL');
      await expect.poll(() => node.ping(node.world, '10.20.2.5')).toBe(true);
      killTunnel(await tunnelRecords());
      await node.startDaemon();
      // The old session is gone with the process; a new handshake is due within seconds.
      await driver.configure(user, { privateKey: generatePrivateKey(), listenPort: 0, peers: [] });
      await driver.configure(user, { privateKey: userKey, listenPort: 0, peers: [nodePeer] });
      await expect.poll(() => node.ping(node.world, '10.20.2.5')).toBe(true);

      // While networkd runs a dead tunnel is back within seconds, and no other is touched.
      const indexOf = async (device: string) =>
        (JSON.parse(await node.inside('n-aaa', 'ip', '-j', 'link', 'show', 'dev', device)) as { ifindex: number }[])[0]
          ?.ifindex;
      const [records, gateway] = [await tunnelRecords(), await indexOf('public')];
      const routes = await node.inside('n-aaa', 'ip', 'route', 'show', 'dev', 'w-aaa');
      killTunnel(records);
      await expect.poll(async () => (await tunnelRecords()).get('w-aaa')?.pid).not.toBe(records.get('w-aaa')?.pid);
      await expect.poll(() => node.inside('n-aaa', 'ip', 'route', 'show', 'dev', 'w-aaa').catch(() => '')).toBe(routes);
      const now = await tunnelRecords();
      expect([...now.keys()]).toEqual([...records.keys()]);
      for (const [device, record] of records) if (device !== 'w-aaa') expect(now.get(device)).toEqual(record);
      expect(await indexOf('public')).toBe(gateway);
      await driver.configure(user, { privateKey: generatePrivateKey(), listenPort: 0, peers: [] });
      await driver.configure(user, { privateKey: userKey, listenPort: 0, peers: [nodePeer] });
      await expect.poll(() => node.ping(node.world, '10.20.2.5')).toBe(true);
    } finally {
      await driver.remove(user);
    }
  });

  it('sees a UDP port that the host itself has open', async () => {
    const program = "require('node:dgram').createSocket('udp4').bind(4555)";
    const holder = spawn('nsenter', [`--net=/run/netns/${node.name}`, '--', process.execPath, '-e', program], {
      stdio: 'ignore',
    });
    try {
      await expect.poll(() => node.inside('', 'cat', '/proc/self/net/udp', '/proc/self/net/udp6')).toMatch(/:11CB /);
      await expect(
        node.network.CreateNR({ wl: '3-1-c', network: networkRequest('ccc', { WGListenPort: 4555 }) }),
      ).rejects.toMatchObject({ remote: { code: 'network_port_taken', details: { port: 4555, holder: 'socket' } } });
    } finally {
      holder.kill('SIGKILL');
    }
  });

  it('finds networks again after it was killed, and mends what went', async () => {
    const vm = `${node.name}-vm-vma`;
    const links = JSON.parse(await node.inside('', 'ip', '-j', 'link')) as Array<{ ifname: string; ifindex: number }>;
    await node.stopDaemon('SIGKILL');
    await expect.poll(() => node.ping(vm, WORLD)).toBe(true);
    // Meanwhile somebody takes the second network's namespace away.
    await node.ip('netns', 'del', `${node.name}.n-bbb`);
    await node.startDaemon();
    const after = JSON.parse(await node.inside('', 'ip', '-j', 'link')) as typeof links;
    const indexOf = (list: typeof links, name: string) => list.find((link) => link.ifname === name)?.ifindex;
    expect(indexOf(after, 'v-aaa')).toBe(indexOf(links, 'v-aaa'));
    await expect.poll(() => node.ping(vm, WORLD)).toBe(true);
    await expect.poll(() => node.ping(`${node.name}-vm-vmb`, WORLD)).toBe(true);
    expect(await node.network.WireguardPorts({})).toContain(4101);
    await expect(
      node.network.CreateNR({ wl: '3-1-c', network: networkRequest('ccc', { WGListenPort: 4101 }) }),
    ).rejects.toThrow(/already in use/);
  });

  it('builds ten networks at once, takes them away and builds them again at once', async () => {
    const before = await node.inventory();
    const ids = Array.from({ length: 10 }, (_, at) => `many${'abcdefghij'[at]}`);
    const create = (id: string, at: number) =>
      node.network.CreateNR(
        { wl: `7-${at}-n`, network: networkRequest(id, { WGListenPort: 4200 + at }) },
        { deadlineMs: 30_000 },
      );
    const remove = (_: string, at: number) => node.network.DeleteNR({ wl: `7-${at}-n` }, { deadlineMs: 30_000 });
    const times: Record<string, number> = {};
    const timed = async (what: string, work: () => Promise<unknown>) => {
      const started = performance.now();
      await work();
      times[what] = Math.round(performance.now() - started);
    };
    await timed('create 10', () => Promise.all(ids.map(create)));
    await timed('again 10', () => Promise.all(ids.map(create)));
    await timed('delete 10', () => Promise.all(ids.map(remove)));
    await timed('create 10 after delete', () => Promise.all(ids.map(create)));
    await timed('delete 10 again', () => Promise.all(ids.map(remove)));
    await timed('create 1', () => create('one', 20));
    await timed('tap', () => node.network.SetupPrivTap({ networkID: 'one', name: 'vmone' }));
    await timed('delete 1', () => remove('one', 20));
    console.log('milliseconds', times);
    expect(await node.inventory()).toBe(before);
  });

  it('leaves nothing after deletion and purge', async () => {
    await node.network.DeleteNR({ wl: '1-1-a' });
    await node.network.DeleteNR({ wl: '2-1-b' });
    await node.stopDaemon('SIGKILL');
    const purged = await node.purge();
    expect(purged).toContain('ipv4/conf/up0/forwarding');
    await sleep(100);
    const left = JSON.parse(await node.inventory()) as {
      links: string[];
      rules: string;
      names: string[];
      files: string[];
      tunnels: string[];
    };
    expect(left.links).toEqual(['lo', 'up0']);
    expect(left.rules.trim()).toBe('');
    expect(left.names.filter((name) => name.startsWith(`${node.name}.`))).toEqual([]);
    expect(left.files).toEqual([]);
    expect(left.tunnels).toEqual([]);
    expect((await node.inside('', 'cat', '/proc/sys/net/ipv4/conf/up0/forwarding')).trim()).toBe('0');
    await node.purge();
  });
});
