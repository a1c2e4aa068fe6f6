import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { LinkRefusedError, openBeneath } from './beneath.ts';
import { imageBoot, removeHostKeys } from './image.ts';
import { macOf } from './mac.ts';

let folder: string;
let root: string;
let out: string;
const guest = { kernel: '/guest/vmlinuz', initrd: '/guest/initrd.img' };
const signal = new AbortController().signal;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'image-'));
  root = join(folder, 'root');
  out = join(folder, 'volume', 'kernel');
  mkdirSync(join(root, 'boot'), { recursive: true });
  writeFileSync(join(folder, 'secret'), 'of the host');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('hardware addresses', () => {
  it.each([
    ['', 'd6:1d:8c:d9:8f:00'],
    [Uint8Array.of(0x42), '9e:5e:d6:78:fe:57'],
    ['A34YUGenHKyhjDMAUKZe4cVDtJM2wQ4n4XRkfGUUEYdy', '8a:d3:36:10:7e:e9'],
  ])('of %j are those of the Go node', (input, mac) => {
    expect(macOf(input)).toBe(mac);
  });
});

describe('files of an image', () => {
  it('are read when they are plain files in plain folders', async () => {
    writeFileSync(join(root, 'boot', 'vmlinuz'), 'kernel');
    const file = await openBeneath(root, '/boot/vmlinuz');
    expect(await file?.readFile('utf8')).toBe('kernel');
    await file?.close();
    expect(await openBeneath(root, 'boot/other')).toBeUndefined();
    expect(await openBeneath(root, 'nowhere/other')).toBeUndefined();
  });

  it('W24: are refused behind a link at the end, on the way, upwards, and as a folder', async () => {
    symlinkSync(join(folder, 'secret'), join(root, 'image.raw'));
    symlinkSync(folder, join(root, 'etc'));
    for (const path of ['image.raw', 'etc/secret', '../secret', 'boot', '']) {
      await expect(openBeneath(root, path)).rejects.toThrow(LinkRefusedError);
    }
  });

  it('give the kernel of the image, copied where the machine can not change it', async () => {
    writeFileSync(join(root, 'boot', 'vmlinuz'), 'own kernel');
    writeFileSync(join(root, 'boot', 'initrd.img'), 'own initrd');
    const boot = await imageBoot('vm1', root, out, guest, signal);
    expect(boot).toEqual({ kernel: join(out, 'vmlinuz'), initrd: join(out, 'initrd.img'), ownKernel: true });
    expect(readFileSync(boot.kernel, 'utf8')).toBe('own kernel');
    expect(await imageBoot('vm1', root, out, guest, signal)).toEqual(boot);
    rmSync(join(root, 'boot', 'initrd.img'));
    expect((await imageBoot('vm1', root, out, guest, signal)).initrd).toBe('');
  });

  it('give the node’s kernel when the image has none', async () => {
    expect(await imageBoot('vm1', root, out, guest, signal)).toEqual({ ...guest, ownKernel: false });
  });

  it('W24: are refused as a typed error when they link out of the image, or ask for another way to boot', async () => {
    symlinkSync(join(folder, 'secret'), join(root, 'boot', 'vmlinuz'));
    const code = async (): Promise<unknown> =>
      imageBoot('vm1', root, out, guest, signal).catch((error: unknown) => error instanceof GridError && error.code);
    expect(await code()).toBe('image_link_refused');
    rmSync(join(root, 'boot', 'vmlinuz'));
    writeFileSync(join(root, 'image.raw'), 'disk');
    expect(await code()).toBe('vm_mode_unsupported');
  });

  it('W24: lose their host keys, and nothing behind a link', async () => {
    mkdirSync(join(root, 'etc', 'ssh'), { recursive: true });
    for (const name of ['ssh_host_rsa_key', 'ssh_host_rsa_key.pub', 'sshd_config']) {
      writeFileSync(join(root, 'etc', 'ssh', name), 'x');
    }
    await removeHostKeys(root);
    expect(readdirSync(join(root, 'etc', 'ssh'))).toEqual(['sshd_config']);
    rmSync(join(root, 'etc'), { recursive: true });
    mkdirSync(join(folder, 'ssh'));
    writeFileSync(join(folder, 'ssh', 'ssh_host_key'), 'x');
    symlinkSync(folder, join(root, 'etc'));
    await removeHostKeys(root);
    expect(readdirSync(join(folder, 'ssh'))).toEqual(['ssh_host_key']);
  });
});
