import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { networkRequest, TestNode } from './testing/node.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

describe.skipIf(!isRoot)('networkd under faults', { timeout: 120_000 }, () => {
  let node: TestNode;

  beforeEach(async () => {
    node = new TestNode();
    await node.start();
  });
  afterEach(() => node.stop());

  it('is killed at any moment of creation and deletion, and still ends with nothing left', async () => {
    await node.startDaemon();
    const before = await node.inventory();
    const ids = ['one', 'two', 'three'];
    const options = { deadlineMs: 20_000 };
    const delays = [3, 12, 25, 45, 80];
    for (const [round, delay] of delays.entries()) {
      const requests = ids.map((id, at) =>
        node.network.CreateNR({ wl: `1-${at}-n`, network: networkRequest(id, { WGListenPort: 4400 + at }) }, options),
      );
      // Every second round the removal is what is cut short.
      if (round % 2 === 1) {
        await Promise.all(requests);
        requests.push(...ids.map((_, at) => node.network.DeleteNR({ wl: `1-${at}-n` }, options).then(() => '')));
      }
      const settled = Promise.allSettled(requests);
      await sleep(delay);
      await node.stopDaemon('SIGKILL');
      await node.startDaemon();
      await settled;
      await Promise.all(ids.map((_, at) => node.network.DeleteNR({ wl: `1-${at}-n` }, options)));
      await expect.poll(() => node.inventory()).toBe(before);
    }
  });

  it('is purged in the middle of everything', async () => {
    await node.startDaemon();
    const created = Promise.allSettled(
      ['one', 'two', 'three'].map((id) =>
        node.network.CreateNR({ wl: `1-1-${id}`, network: networkRequest(id) }, { deadlineMs: 2000 }),
      ),
    );
    await sleep(30);
    await node.stopDaemon('SIGKILL');
    await node.purge();
    await node.purge();
    const left = JSON.parse(await node.inventory()) as Record<string, unknown>;
    expect(left).toMatchObject({ links: ['lo', 'up0'], rules: '', files: [], tunnels: [] });
    await created;
  });

  it('leaves nothing of a network whose tunnel cannot be made', async () => {
    const tools = await mkdtemp(join(tmpdir(), 'gridnode-tools-'));
    try {
      const found = await Promise.all(
        ['ip', 'nft', 'nsenter', 'sh'].map(async (tool) => [tool, (await run('which', [tool])).stdout.trim()] as const),
      );
      for (const [tool, path] of found) await symlink(path, join(tools, tool));
      await node.startDaemon({ env: { PATH: tools } });
      const before = await node.inventory();
      await expect(
        node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa', { WGListenPort: 4500 }) }),
      ).rejects.toMatchObject({ remote: { code: 'network_wireguard_missing' } });
      expect(await node.inventory()).toBe(before);
      expect(await node.network.WireguardPorts({})).not.toContain(4500);
    } finally {
      await rm(tools, { recursive: true, force: true });
    }
  });

  it('works without an uplink, and finds one that comes later', async () => {
    await node.ip('-n', node.name, 'route', 'del', 'default');
    await node.startDaemon();
    await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa') });
    const vm = await node.machine('aaa', 'vma', '10.20.2.5/24');
    await expect.poll(() => node.ping(vm, '10.20.2.1')).toBe(true);
    expect(await node.ping(vm, '198.51.100.1')).toBe(false);
    await node.ip('-n', node.name, 'route', 'add', 'default', 'via', '198.51.100.1');
    await node.stopDaemon();
    await node.startDaemon();
    await expect.poll(() => node.ping(vm, '198.51.100.1')).toBe(true);
  });

  it('refuses a second node in the same network namespace, whose purge harms nobody', async () => {
    await node.startDaemon();
    await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa') });
    const before = await node.inventory();
    const second = await mkdtemp(join(tmpdir(), 'gridnode-net2-'));
    try {
      await mkdir(second, { recursive: true });
      await expect(run('nsenter', node.daemonArguments(second), { timeout: 60_000 })).rejects.toThrow(
        /another node has its networks here/,
      );
      const purge = new URL('purge.ts', import.meta.url).pathname;
      await run(process.execPath, [purge, '--state', second], { timeout: 60_000 });
      expect(await node.inventory()).toBe(before);
    } finally {
      await rm(second, { recursive: true, force: true });
    }
  });

  it('builds its networks again in a namespace that was made anew', async () => {
    await node.startDaemon();
    await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa', { WGListenPort: 4600 }) });
    await node.stopDaemon('SIGKILL');
    await node.ip('netns', 'del', node.name);
    await sleep(300);
    await node.makeMachine();
    await node.startDaemon();
    const vm = await node.machine('aaa', 'vma', '10.20.2.5/24');
    await expect.poll(() => node.ping(vm, '198.51.100.1')).toBe(true);
    await expect.poll(() => node.ping(vm, '100.64.20.2')).toBe(true);
    expect(await node.inside('', 'cat', '/proc/self/net/udp')).toContain(':11F8 ');
  });

  it('is purged after its network namespace went away', async () => {
    await node.startDaemon();
    await node.network.CreateNR({ wl: '1-1-a', network: networkRequest('aaa') });
    await node.stopDaemon('SIGKILL');
    await node.ip('netns', 'del', node.name);
    expect(await node.purge()).toContain('is gone');
    expect((await node.ip('netns', 'list')).includes(`${node.name}.`)).toBe(false);
    const { stdout } = await run('ps', ['-eo', 'args']);
    expect(stdout).not.toContain(node.state);
  });
});
