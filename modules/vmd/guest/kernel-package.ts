/** The distribution's cloud kernel, downloaded as a package and unpacked, never installed. */
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GridError } from '../../../schemas/errors/index.ts';
import { HostCommandError, run } from '../../host/run.ts';

/** Debian's architecture names by Node's. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

const QUERY_DEADLINE_MS = 30_000;
const DOWNLOAD_DEADLINE_MS = 300_000;
const UNPACK_DEADLINE_MS = 120_000;

export interface KernelPackage {
  /** File name of the package inside `folder`, with the version in it. */
  readonly file: string;
  readonly path: string;
}

/**
 * The newest kernel package in `folder`; downloaded where there is none.
 * Throws `machine_guest_unavailable`.
 */
export async function obtainKernelPackage(folder: string, signal?: AbortSignal): Promise<KernelPackage> {
  const architecture = ARCHITECTURES[process.arch];
  const fail = (reason: string, cause?: unknown): GridError =>
    new GridError('machine_guest_unavailable', { reason, folder }, { cause });
  if (architecture === undefined) throw fail(`there is no cloud kernel for ${process.arch}`);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const cached = await newestPackage(folder, architecture);
  if (cached !== undefined) return cached;

  const options = { ...(signal === undefined ? {} : { signal }) };
  const scratch = await mkdtemp(join(folder, 'download-'));
  try {
    const { stdout } = await run('apt-cache', ['depends', '--important', `linux-image-cloud-${architecture}`], {
      deadlineMs: QUERY_DEADLINE_MS,
      env: { ...process.env, LC_ALL: 'C' },
      ...options,
    });
    const name = /Depends:\s*(linux-image-\S+)/.exec(stdout)?.[1];
    if (name === undefined) throw fail('apt knows no cloud kernel');
    await run('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', name], {
      deadlineMs: DOWNLOAD_DEADLINE_MS,
      cwd: scratch,
      ...options,
    });
    for (const file of await readdir(scratch)) await rename(join(scratch, file), join(folder, file));
  } catch (error) {
    if (error instanceof HostCommandError) throw fail(error.message, error);
    throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  const fetched = await newestPackage(folder, architecture);
  if (fetched === undefined) throw fail('apt downloaded no kernel package');
  return fetched;
}

async function newestPackage(folder: string, architecture: string): Promise<KernelPackage | undefined> {
  const pattern = new RegExp(`^linux-image-\\d[^_]*-cloud-${architecture}_.*\\.deb$`);
  const files = (await readdir(folder)).filter((file) => pattern.test(file));
  const compare = new Intl.Collator('en', { numeric: true }).compare;
  const file = files.sort(compare).at(-1);
  return file === undefined ? undefined : { file, path: join(folder, file) };
}

/** Unpacks the package into `target`; the kernel's version is the name under `lib/modules`. */
export async function unpackKernel(
  { path }: KernelPackage,
  target: string,
  signal?: AbortSignal,
): Promise<{ readonly image: string; readonly modules: string; readonly version: string }> {
  await mkdir(target, { recursive: true });
  await run('dpkg-deb', ['-x', path, target], {
    deadlineMs: UNPACK_DEADLINE_MS,
    ...(signal === undefined ? {} : { signal }),
  });
  const folder = (await readdir(target)).includes('lib')
    ? join(target, 'lib/modules')
    : join(target, 'usr/lib/modules');
  const version = (await readdir(folder))[0];
  if (version === undefined) throw new Error(`${path} holds no kernel modules`);
  return { image: join(target, 'boot', `vmlinuz-${version}`), modules: join(folder, version), version };
}
