/** Builds what container guests boot from: `<state>/guest/` with a kernel and an initramfs. */
import { createHash } from 'node:crypto';
import { access, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Logger, pino } from 'pino';
import { GridError } from '../../../schemas/errors/index.ts';
import { readJson, writeFileAtomic } from '../../host/files.ts';
import { buildInitramfs } from './initramfs.ts';
import { obtainKernelPackage, unpackKernel } from './kernel-package.ts';
import { extractVmlinux } from './vmlinux.ts';

export interface Guest {
  /** Path of an ELF kernel, of a bzImage where no ELF could be taken out of it. */
  readonly kernel: string;
  readonly initrd: string;
}

export interface BuildGuestOptions {
  readonly stateDir: string;
  readonly log?: Logger;
  readonly signal?: AbortSignal;
}

const BUSYBOX_PATHS = ['/bin/busybox', '/usr/bin/busybox'] as const;
const STAMP = 'stamp.json';

/**
 * Makes kernel and initramfs where they are missing or made from other
 * sources; otherwise only looks. Needs the network once, for the kernel
 * package. Throws `machine_guest_unavailable` and `machine_tool_missing`.
 */
export async function buildGuest({ stateDir, log, signal }: BuildGuestOptions): Promise<Guest> {
  const folder = join(stateDir, 'guest');
  const busybox = await findBusybox();
  const source = await obtainKernelPackage(folder, signal);
  const stamp = await contentStamp(source.path, busybox);
  const previous = (await readJson(join(folder, STAMP))) as
    | { readonly stamp?: string; readonly kernel?: string }
    | undefined;
  const initrd = join(folder, 'initrd.img');
  if (previous?.stamp === stamp && previous.kernel !== undefined) {
    const kernel = join(folder, previous.kernel);
    if ((await exists(kernel)) && (await exists(initrd))) return { kernel, initrd };
  }

  const started = performance.now();
  const scratch = await mkdtemp(join(folder, 'unpack-'));
  try {
    const unpacked = await unpackKernel(source, scratch, signal);
    const image = await readFile(unpacked.image);
    const elf = extractVmlinux(image);
    if (elf === undefined) log?.warn({ package: source.file }, 'kernel packed in an unknown way, booting the bzImage');
    const name = elf === undefined ? 'vmlinuz' : 'vmlinux';
    const initramfs = await buildInitramfs({ busybox, modules: unpacked.modules, kernelVersion: unpacked.version });
    signal?.throwIfAborted();
    await writeFileAtomic(join(folder, name), elf ?? image, 0o644);
    await writeFileAtomic(initrd, initramfs, 0o644);
    await writeFileAtomic(
      join(folder, STAMP),
      `${JSON.stringify({ stamp, kernel: name, package: source.file, version: unpacked.version })}\n`,
      0o644,
    );
    log?.info(
      { package: source.file, initrdBytes: initramfs.length, tookMs: Math.round(performance.now() - started) },
      'guest kernel and initramfs built',
    );
    return { kernel: join(folder, name), initrd };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** One hash over everything the result is made from: package, busybox, our sources. */
async function contentStamp(packagePath: string, busybox: string): Promise<string> {
  const hash = createHash('sha256');
  const sources = (await readdir(import.meta.dirname)).filter((name) => !name.includes('.test.')).sort();
  for (const path of [packagePath, busybox, ...sources.map((name) => join(import.meta.dirname, name))]) {
    hash.update(
      createHash('sha256')
        .update(await readFile(path))
        .digest(),
    );
  }
  return hash.digest('hex');
}

async function findBusybox(): Promise<string> {
  for (const path of BUSYBOX_PATHS) if ((await exists(path)) && (await isStatic(path))) return path;
  throw new GridError('machine_tool_missing', { tool: 'a static busybox', package: 'busybox-static' });
}

/** A program without an interpreter segment runs in an initramfs that holds nothing else. */
async function isStatic(path: string): Promise<boolean> {
  const data = await readFile(path);
  const table = Number(data.readBigUInt64LE(0x20));
  const entrySize = data.readUInt16LE(0x36);
  for (let index = 0; index < data.readUInt16LE(0x38); index += 1) {
    if (data.readUInt32LE(table + index * entrySize) === 3) return false;
  }
  return true;
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { state: { type: 'string' } } });
  if (values.state === undefined) throw new Error('build.ts: --state DIR is required');
  const guest = await buildGuest({ stateDir: values.state, log: pino({ name: 'guest' }) });
  process.stdout.write(`${JSON.stringify(guest)}\n`);
}
