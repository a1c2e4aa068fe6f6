import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostClock } from '../clock.ts';
import { parsePeer } from '../peer.ts';
import { iperf } from './iperf.ts';
import { serve } from './iperf-program.ts';

const log = pino({ level: 'silent' });
const { signal } = new AbortController();
const installed = (() => {
  try {
    execFileSync('iperf3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** A port of two loopback addresses that nobody holds now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.77');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

interface Entry {
  readonly upload_speed: number;
  readonly download_speed: number;
  readonly error: string;
}

/** A server that still ends one measurement is asked for the next one sooner. */
const clock = { ...hostClock, sleep: (ms: number, until: AbortSignal) => hostClock.sleep(ms / 100, until) };

const measured = async (host: string, port: number) =>
  (await iperf({ peers: async () => [{ host, port }], clock, seconds: 1 }).run(signal)) as unknown as Entry[];

describe.skipIf(!installed)('throughput between two nodes', () => {
  const stopping = new AbortController();
  let port = 0;
  let serving: Promise<void>;
  beforeAll(async () => {
    port = await freePort();
    serving = serve({ address: '127.0.0.77', port, log, signal: stopping.signal });
  });
  afterAll(async () => {
    stopping.abort();
    await serving;
  });

  it('is measured in both directions over TCP and UDP', { timeout: 120_000 }, async () => {
    let found: Entry[] = [];
    const measure = async (): Promise<string[]> => {
      found = await measured('127.0.0.77', port);
      return found.map(({ error }) => error);
    };
    // The server says nothing of itself that could be waited for; who asks too early is refused.
    await expect.poll(measure, { timeout: 100_000 }).toEqual(['', '']);
    expect(found).toMatchObject([
      { server_host: '127.0.0.77', server_ip: '127.0.0.77', server_port: port, test_type: 'tcp', error: '' },
      { server_host: '127.0.0.77', server_ip: '127.0.0.77', server_port: port, test_type: 'udp', error: '' },
    ]);
    for (const { upload_speed, download_speed } of found) {
      expect(upload_speed).toBeGreaterThan(1_000_000);
      expect(download_speed).toBeGreaterThan(1_000_000);
    }
    expect(Object.keys((found[0] as unknown as { cpu_report: object }).cpu_report)).toEqual([
      'host_total',
      'host_user',
      'host_system',
      'remote_total',
      'remote_user',
      'remote_system',
    ]);
  });

  it('says why there is none', async () => {
    const found = await measured('127.0.0.78', port);
    expect(found).toMatchObject([
      { test_type: 'tcp', upload_speed: 0, download_speed: 0, error: expect.stringContaining('Connection refused') },
      { test_type: 'udp', error: expect.stringContaining('Connection refused') },
    ]);
    expect((await measured('no-such-host.invalid', port))[0]?.error).toContain('no-such-host.invalid');
  });
});

describe('throughput', () => {
  it('without the program says so in the entry', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'perf-path-'));
    const path = process.env.PATH;
    try {
      for (const program of process.platform === 'linux' ? ['nice', 'setpriv'] : ['nice']) {
        await symlink(execFileSync('which', [program], { encoding: 'utf8' }).trim(), join(folder, program));
      }
      process.env.PATH = folder;
      const [entry] = await measured('127.0.0.77', 1);
      expect(entry?.error).toBe('iperf3 is not installed on this node; on Debian: apt-get install iperf3');
    } finally {
      process.env.PATH = path;
      await rm(folder, { recursive: true });
    }
  });

  it('without peers is an empty list', async () => {
    expect(await iperf({ peers: async () => [], clock: hostClock }).run(signal)).toEqual([]);
  });
});

describe('a peer', () => {
  it.each([
    ['node.example', { host: 'node.example', port: 300 }],
    ['10.1.2.3:5201', { host: '10.1.2.3', port: 5201 }],
    ['[2001:db8::1]:301', { host: '2001:db8::1', port: 301 }],
    ['2001:db8::1', { host: '2001:db8::1', port: 300 }],
  ])('%s', (text, peer) => {
    expect(parsePeer(text)).toEqual(peer);
  });

  it.each(['', '-c', 'a b', 'host:0', 'host:70000', '[nonsense]:1:2', '--help:1'])('is not %j', (text) => {
    expect(() => parsePeer(text)).toThrow('is no peer');
  });
});
