/** What flistd and the process that unpacks refuse to ask, whoever names it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startDaemon, type TestDaemon } from '../storaged/testing/daemon.ts';
import { ZbusClient } from '../zbus/client.ts';
import type { Client } from '../zbus/definition.ts';
import { startRedis, type TestRedis } from '../zbus/testing/redis.ts';
import { packFlist } from './format/index.ts';
import { flist } from './interface.ts';
import { purgeFlists } from './purge.ts';
import { serveFolder, type TestServer } from './testing/server.ts';

/** An address of this host beside loopback. */
const own = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const isRoot = process.getuid?.() === 0;
const main = join(import.meta.dirname, 'main.ts');

describe.skipIf(!isRoot)('addresses that tenants give', { timeout: 120_000 }, () => {
  const top = mkdtempSync(join(tmpdir(), 'gn-fs-'));
  const state = join(top, 'state');
  const share = join(top, 'share');
  const opt = { ReadOnly: true, Limit: 0, Storage: '', PersistedVolume: '' };
  let redis: TestRedis;
  let bus: ZbusClient;
  let client: Client<typeof flist>;
  let daemon: TestDaemon;
  /** The one that may be asked. */
  let hub: TestServer;
  /** A service of the node, which may not. */
  let inner: TestServer;

  const start = async (flags: Record<string, string>): Promise<void> => {
    await daemon?.stop();
    daemon = await startDaemon(main, { state, broker: redis.broker, ...flags });
  };
  const packed = async (name: string, routes: string[]): Promise<string> => {
    const directory = join(top, `tree-${name}`);
    mkdirSync(directory);
    writeFileSync(join(directory, 'file'), `content of ${name}`);
    await packFlist({
      directory,
      output: join(share, `${name}.fl`),
      store: `dir://${share}/store`,
      routes: routes.map((url) => ({ start: 0, end: 255, url })),
    });
    return `${hub.url}/${name}.fl`;
  };
  const mounting = (url: string): Promise<unknown> =>
    client.Mount({ name: 'm', url, opt }).catch((error: unknown) => error);
  const refusal = (url: string): object => ({
    message: expect.stringMatching(/^flist address '[^']+' is refused: .*its host is one that this node/),
    remote: { code: 'flist_url_refused', details: { url } },
  });

  beforeAll(async () => {
    for (const folder of [state, share]) mkdirSync(folder);
    redis = await startRedis();
    hub = await serveFolder(share);
    inner = await serveFolder(share, 0, '127.0.0.2');
    bus = new ZbusClient({ broker: redis.broker, deadlineMs: 30_000 });
    client = bus.of(flist);
    await start({ 'allow-address': '127.0.0.1/32,198.51.100.0/24' });
  });

  beforeEach(() => {
    hub.intercept = undefined;
    inner.requests.length = 0;
  });

  afterAll(async () => {
    await daemon?.stop();
    await bus?.close();
    await redis?.stop();
    await hub?.stop();
    await inner?.stop();
    await purgeFlists(state);
    rmSync(top, { recursive: true, force: true });
  });

  it('are refused for a flist and its hash, directly and after a redirect', async () => {
    writeFileSync(join(share, 'x.fl.md5'), '0'.repeat(32));
    for (const url of [
      `${inner.url}/x.fl`,
      'http://169.254.169.254/x.fl',
      `${inner.url.replace('127.0.0', '127.0')}/x.fl`,
    ]) {
      const shown = new URL(url).href;
      expect(await mounting(url), url).toMatchObject(refusal(shown));
      const failed = await client.FlistHash({ url }).catch((error: unknown) => error);
      expect(failed, url).toMatchObject(refusal(`${shown}.md5`));
    }
    hub.intercept = (path, response) => Boolean(response.writeHead(302, { location: `${inner.url}${path}` }).end());
    const moved = `${hub.url}/x.fl`;
    for (const failed of [await mounting(moved), await client.FlistHash({ url: moved }).catch((e: unknown) => e)]) {
      expect(failed).toMatchObject({ remote: { code: 'flist_url_refused' } });
      expect((failed as Error).message).not.toContain('127.0.0.2');
    }
    expect(inner.requests).toEqual([]);
    expect(existsSync(join(state, 'flistd/mounts/m.json'))).toBe(false);
  });

  it('are refused for stores of blocks, where a flist goes on to its next route', async () => {
    const only = await packed('only', [`${inner.url}/store`]);
    expect(await mounting(only)).toMatchObject({
      message: expect.stringMatching(/^key is not routable: .*its host is one that this node makes no requests to/),
      remote: { code: 'flist_not_routable' },
    });
    const moving = await packed('moving', [`${hub.url}/moved`]);
    hub.intercept = (path, response) =>
      path.startsWith('/moved') &&
      Boolean(response.writeHead(307, { location: `${inner.url}${path.replace('moved', 'store')}` }).end());
    const failed = await mounting(moving);
    expect(failed).toMatchObject({ remote: { code: 'flist_not_routable' } });
    expect((failed as Error).message).not.toContain('127.0.0.2');
    const both = await packed('both', [`${inner.url}/store`, `${hub.url}/moved`, `${hub.url}/store`]);
    const path = (await mounting(both)) as string;
    expect(readFileSync(join(path, 'file'), 'utf8')).toBe('content of both');
    await client.Unmount({ name: 'm' });
    expect(inner.requests).toEqual([]);
  });

  it.skipIf(own === undefined)(
    'are refused where they are of an interface of the node, also by what unpacks',
    async () => {
      const url = `http://${own}:${new URL(inner.url).port}`;
      expect(await mounting(`${url}/x.fl`)).toMatchObject(refusal(`${url}/x.fl`));
      expect(await mounting(await packed('own', [`${url}/store`]))).toMatchObject({
        message: expect.stringContaining('its host is one'),
        remote: { code: 'flist_not_routable' },
      });
    },
  );

  it('are refused in private ranges, too, where the operator says so', async () => {
    await start({ 'allow-address': '127.0.0.1/32', 'deny-private': 'true' });
    for (const host of ['10.1.2.3', '192.168.1.1', '[fd00::1]']) {
      expect(await mounting(`http://${host}/x.fl`)).toMatchObject(refusal(`http://${host}/x.fl`));
    }
    expect(await mounting(await packed('private', ['http://172.16.1.2/store']))).toMatchObject({
      remote: { code: 'flist_not_routable' },
    });
  });

  it('are all but loopback and the like without a flag', async () => {
    await start({});
    expect(await mounting(`${hub.url}/only.fl`)).toMatchObject(refusal(`${hub.url}/only.fl`));
    await expect(client.FlistHash({ url: `${hub.url}/only.fl` })).rejects.toMatchObject({
      remote: { code: 'flist_url_refused' },
    });
  });

  it('need flags that can be understood', async () => {
    await daemon.stop();
    await expect(start({ 'allow-address': 'localhost' })).rejects.toThrow("'localhost' is no range of addresses");
    await expect(start({ 'deny-private': 'yes' })).rejects.toThrow('--deny-private takes true or false');
  });
});
