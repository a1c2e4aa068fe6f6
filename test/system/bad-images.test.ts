import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSite } from '../../cli/demo/site.ts';
import { GiB } from '../../schemas/index.ts';
import { type Hub, openHub, packFile, packSite } from './hub.ts';
import { expectUnchanged, type Standing, standingOf } from './standing.ts';
import { DISK_BYTES, machineAddress, machineWorkload, networkWorkload, siteWorkloads, Tenant } from './tenant.ts';
import { isRoot, serveHttp, startTestNode, type TestNode } from './test-node.ts';

/** Changes one bit of the first block in a store; the block's id. */
async function flipByte(store: string): Promise<string> {
  const [folder = ''] = await readdir(store);
  const [block = ''] = await readdir(join(store, folder));
  const path = join(store, folder, block);
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
  await writeFile(path, bytes);
  return block;
}

describe.skipIf(!isRoot)('images that cannot become a machine', () => {
  let node: TestNode;
  let hub: Hub;
  let user: Tenant;
  let before: Standing;

  beforeAll(async () => {
    node = await startTestNode({ poolSize: 6 * GiB });
    hub = await openHub(node);
    user = await Tenant.open(node);
    await user.answered();
    before = await standingOf(user);
  }, 180_000);

  afterAll(async () => {
    await hub?.close();
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  /**
   * Deploys a machine from a flist that cannot be used: network and disk stay,
   * the machine fails with the message that is returned, and with the contract
   * all of that goes.
   */
  const failure = async (flist: string, index: number): Promise<string> => {
    const name = `x${index}`;
    const contract = await user.deploy(siteWorkloads(name, index, flist));
    const last = await user.settled(contract);
    expect(last.get(`${name}net`)).toEqual({ state: 'ok', message: '' });
    expect(last.get(`${name}disk`)).toEqual({ state: 'ok', message: '' });
    const { state, message } = last.get(`${name}vm`) ?? { state: '', message: '' };
    expect(state).toBe('error');
    await user.cancel(contract);
    return message;
  };
  const stage = (attempts: string, index: number): string =>
    `\\(stage flist, step 'image' of workload 'x${index}vm', attempts: ${attempts} in \\d+ ms\\)$`;

  // Each waits longer than it works.
  describe.concurrent('side by side', { timeout: 300_000 }, () => {
    it('a server that is not there may come back, and is tried for a minute', async () => {
      const nobody = await serveHttp(node.config, () => undefined);
      await nobody.close();
      expect(await failure(`${nobody.url}/none.fl`, 1)).toMatch(
        new RegExp(
          `^failed to mount flist: ${user.twin}-\\d+-x1vm: fail to download flist: .*ECONNREFUSED.* \\('${nobody.url}/none.fl', 3 attempts\\) ${stage('\\d+', 1)}`,
        ),
      );
    });

    it('a corrupt block, and a block that is gone', async () => {
      const corrupt = await packFile(hub, 'corrupt', 'a file that nobody packed before');
      const block = await flipByte(join(hub.folder, 'corrupt.blocks'));
      const holes = await packFile(hub, 'holes', 'another file that nobody packed before');
      hub.intercept = (path, response) => {
        if (!path.startsWith('/holes.blocks/')) return false;
        response.writeHead(404).end();
        return true;
      };
      const [flipped, gone] = await Promise.all([corrupt, holes].map((flist, at) => failure(flist, at + 2)));
      hub.intercept = undefined;
      expect(flipped).toMatch(
        new RegExp(
          `block ${block} from '${hub.url}/corrupt.blocks' is corrupt: .+; upload the block again, or pack the flist anew ${stage('1', 2)}`,
        ),
      );
      expect(gone).toMatch(
        new RegExp(
          `block [0-9a-f]{64} does not exist at '${hub.url}/holes.blocks'; upload the block, or pack the flist anew ${stage('1', 3)}`,
        ),
      );
    });

    it('a flist that is not there', async () => {
      const flist = `${hub.url}/no-such.fl`;
      expect(await failure(flist, 4)).toMatch(
        new RegExp(
          `^failed to mount flist: ${user.twin}-\\d+-x4vm: fail to download flist: 404 Not Found \\('${flist}'\\) ${stage('1', 4)}`,
        ),
      );
    });

    it('a flist that is no flist', async () => {
      await writeFile(join(hub.folder, 'page.fl'), '<!doctype html><title>sign in</title>');
      expect(await failure(`${hub.url}/page.fl`, 5)).toMatch(
        new RegExp(`flist '${hub.url}/page.fl' is malformed: .+ ${stage('1', 5)}`),
      );
    });

    it('an old flist, an address that is none, and a local file', async () => {
      expect(await failure(`${hub.url}/old.flist`, 6)).toMatch(
        new RegExp(
          `flist '${hub.url}/old.flist' is of version 1, version 2 is required; convert it to a .fl file ${stage('1', 6)}`,
        ),
      );
      expect(await failure('not an address', 6)).toMatch(
        new RegExp(`flist address 'not an address' is refused: it is no address ${stage('1', 6)}`),
      );
      expect(await failure('http://127.0.0.1:6000/x.fl', 6)).toMatch(
        new RegExp(`flist address 'http://127.0.0.1:6000/x.fl' is refused: port 6000 belongs to .+ ${stage('1', 6)}`),
      );
      expect(await failure('file:///etc/shadow.fl', 6)).toMatch(
        new RegExp(`flist address 'file:///etc/shadow.fl' is refused: .+ ${stage('1', 6)}`),
      );
    });

    it('W24: an image with a disk image or a link in the place of its kernel', async () => {
      const raw = await hub.pack('raw', (folder) => writeFile(join(folder, 'image.raw'), 'disk'));
      expect(await failure(raw, 7)).toBe(
        "workload 'x7vm': the flist holds /image.raw, this node boots flists in container mode only; use an flist with a root file system",
      );
      const linked = await hub.pack('linked', async (folder) => {
        await mkdir(join(folder, 'boot'));
        await symlink('/etc/shadow', join(folder, 'boot', 'vmlinuz'));
      });
      expect(await failure(linked, 7)).toBe(
        "workload 'x7vm': 'boot/vmlinuz' of the flist is a link or not a regular file, it is not followed on the node",
      );
    });

    it('an entrypoint that is not in the image ends in a message with the end of the console', async ({ expect }) => {
      const flist = await packSite(hub);
      const contract = await user.deploy([
        networkWorkload('xnet', 8),
        machineWorkload('xvm', { flist, network: 'xnet', address: machineAddress(8), entrypoint: '/no/such --thing' }),
      ]);
      expect((await user.settled(contract)).get('xvm')?.state).toBe('ok');
      const last = async () => (await user.changes(contract)).findLast(([name]) => name === 'xvm');
      await expect.poll(async () => (await last())?.[1], { timeout: 240_000, interval: 500 }).toBe('deleted');
      expect((await last())?.[2]).toMatch(
        /^workload decommissioned by system, reason: deleting vm due to so many crashes: 4 within 120 s, the last because the guest ended \(guest-\w+\); end of its console: [\s\S]*\/no\/such/,
      );
      await user.cancel(contract);
    });
  });

  it('have left the node as it was', { timeout: 120_000 }, async () => {
    await expectUnchanged(user, before);
  });

  it('a failed machine gives back what it took while its contract still runs', { timeout: 120_000 }, async () => {
    const contract = await user.deploy(siteWorkloads('x', 1, `${hub.url}/no-such.fl`));
    await user.settled(contract);
    const taken = async (): Promise<readonly [number, number]> => {
      const { committed, pending } = await user.capacity();
      return [committed.mru + pending.mru, committed.sru + pending.sru];
    };
    await expect.poll(taken, { timeout: 30_000 }).toEqual([0, DISK_BYTES]);
    await user.cancel(contract);
    await expectUnchanged(user, before);
  });

  it('and after all that a good image runs', { timeout: 120_000 }, async () => {
    const flist = await hub.pack('good', (folder) => writeSite(folder));
    const contract = await user.deploy(siteWorkloads('y', 2, flist));
    expect([...(await user.settled(contract)).values()].map(({ state }) => state)).toEqual(['ok', 'ok', 'ok']);
    await user.cancel(contract);
    await expectUnchanged(user, before);
  });
});
