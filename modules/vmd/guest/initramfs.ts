/** Puts the guest's initramfs together: busybox, kernel modules, our init. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { BOOT_MODULES, BTRFS_MODULES, collectModules, type KernelModule, moduleInfo } from './kernel-modules.ts';

/** Programs of busybox that the init script calls by name. */
const APPLETS = [
  'cat',
  'chmod',
  'chroot',
  'cp',
  'dd',
  'hostname',
  'ip',
  'ln',
  'mkdir',
  'modprobe',
  'mount',
  'poweroff',
  'printf',
  'rm',
  'sed',
  'sh',
  'sleep',
  'umount',
] as const;

const FOLDERS = ['bin', 'dev', 'etc', 'lib', 'lib/modules', 'new_root', 'proc', 'seed', 'sys'] as const;

export interface InitramfsInput {
  /** Path of a static busybox. */
  readonly busybox: string;
  /** A kernel's `/lib/modules/<version>` folder. */
  readonly modules: string;
  readonly kernelVersion: string;
}

/** The initramfs as an uncompressed cpio archive; the same input gives the same bytes. */
export async function buildInitramfs({ busybox, modules, kernelVersion }: InitramfsInput): Promise<Buffer> {
  const boot = await collectModules(modules, BOOT_MODULES);
  const all = await collectModules(modules, [...BOOT_MODULES, ...BTRFS_MODULES]);
  const folder = `lib/modules/${kernelVersion}`;
  const text = (path: string, content: string, mode = 0o644): CpioEntry => ({
    path,
    kind: 'file',
    mode,
    data: Buffer.from(content, 'utf8'),
  });
  return writeCpio([
    ...FOLDERS.map((path): CpioEntry => ({ path, kind: 'directory', mode: 0o755 })),
    { path: folder, kind: 'directory', mode: 0o755 },
    // The kernel opens these before /dev is mounted.
    { path: 'dev/console', kind: 'character', mode: 0o600, device: [5, 1] },
    { path: 'dev/null', kind: 'character', mode: 0o666, device: [1, 3] },
    { path: 'bin/busybox', kind: 'file', mode: 0o755, data: await readFile(busybox) },
    ...APPLETS.map(
      (name): CpioEntry => ({ path: `bin/${name}`, kind: 'link', mode: 0o777, data: Buffer.from('busybox') }),
    ),
    ...all.map(({ name, data }): CpioEntry => ({ path: `${folder}/${name}.ko`, kind: 'file', mode: 0o644, data })),
    text(`${folder}/modules.dep`, dependencyTable(all)),
    text('etc/boot-modules', `${boot.map((module) => module.name).join(' ')}\n`),
    { path: 'init', kind: 'file', mode: 0o755, data: await readFile(join(import.meta.dirname, 'init.sh')) },
  ]);
}

/** `modules.dep` as modprobe reads it: nearest dependency first. */
function dependencyTable(modules: readonly KernelModule[]): string {
  const direct = new Map(modules.map(({ name, data }) => [name, moduleInfo(data).depends]));
  const order = new Map(modules.map(({ name }, index) => [name, index]));
  const closure = (name: string, found = new Set<string>()): Set<string> => {
    for (const dependency of direct.get(name) ?? []) {
      if (!order.has(dependency) || found.has(dependency)) continue;
      found.add(dependency);
      closure(dependency, found);
    }
    return found;
  };
  return modules
    .map(({ name }) => {
      const needed = [...closure(name)].sort((a, b) => (order.get(b) ?? 0) - (order.get(a) ?? 0));
      return `${name}.ko:${needed.map((dependency) => ` ${dependency}.ko`).join('')}\n`;
    })
    .join('');
}
