/** Chooses kernel modules for the guest and puts them in loading order. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** Loaded at every boot: virtio devices, the shared root, the seed's file system, the power button. */
export const BOOT_MODULES = [
  'virtio_pci',
  'virtio_blk',
  'virtio_net',
  'virtiofs',
  'vfat',
  'nls_cp437',
  'nls_ascii',
  'button',
  'evdev',
] as const;
/** Loaded when a disk carries this file system. */
export const BTRFS_MODULES = ['btrfs'] as const;

export interface KernelModule {
  readonly name: string;
  readonly data: Buffer;
}

/**
 * The named modules with everything they depend on, dependencies first, each
 * once. Names of modules that are built into the kernel are left out. `folder`
 * is a kernel's `/lib/modules/<version>`. Throws where a module is neither a
 * file nor built in.
 */
export async function collectModules(folder: string, wanted: readonly string[]): Promise<KernelModule[]> {
  const files = await indexModules(join(folder, 'kernel'));
  const builtin = new Set(
    (await readFile(join(folder, 'modules.builtin'), 'utf8')).split('\n').map((line) => moduleName(line)),
  );
  const done = new Set<string>();
  const ordered: KernelModule[] = [];
  const visit = async (name: string): Promise<void> => {
    if (done.has(name) || builtin.has(name)) return;
    done.add(name);
    const path = files.get(name);
    if (path === undefined) throw new Error(`the kernel package has no module ${name}`);
    const data = await readFile(path);
    const { depends, soft } = moduleInfo(data);
    for (const dependency of soft) if (files.has(dependency)) await visit(dependency);
    for (const dependency of depends) await visit(dependency);
    ordered.push({ name, data: withoutSignature(data) });
  };
  for (const name of wanted) await visit(name);
  return ordered;
}

function moduleName(path: string): string {
  return basename(path.trim(), '.ko').replaceAll('-', '_');
}

async function indexModules(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const item of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (item.isFile() && item.name.endsWith('.ko')) files.set(moduleName(item.name), join(item.parentPath, item.name));
  }
  return files;
}

/** `depends=` and `softdep=pre:` of a module's `.modinfo` section, names with underscores. */
export function moduleInfo(data: Buffer): { readonly depends: string[]; readonly soft: string[] } {
  const depends: string[] = [];
  const soft: string[] = [];
  for (const field of section(data, '.modinfo').toString('latin1').split('\0')) {
    if (field.startsWith('depends=')) depends.push(...field.slice(8).split(',').filter(Boolean));
    const before = /^softdep=pre:\s*(.*)$/.exec(field)?.[1];
    if (before !== undefined) soft.push(...(before.split(/\s*post:/)[0] ?? '').split(/\s+/).filter(Boolean));
  }
  const normal = (name: string): string => name.replaceAll('-', '_');
  return { depends: depends.map(normal), soft: soft.map(normal) };
}

/** A section of a little-endian 64-bit ELF file, empty where there is none of that name. */
function section(data: Buffer, wanted: string): Buffer {
  const table = Number(data.readBigUInt64LE(0x28));
  const entrySize = data.readUInt16LE(0x3a);
  const count = data.readUInt16LE(0x3c);
  const bounds = (index: number): readonly [number, number] => {
    const header = table + index * entrySize;
    const offset = Number(data.readBigUInt64LE(header + 0x18));
    return [offset, offset + Number(data.readBigUInt64LE(header + 0x20))];
  };
  const names = data.subarray(...bounds(data.readUInt16LE(0x3e)));
  for (let index = 0; index < count; index += 1) {
    const start = data.readUInt32LE(table + index * entrySize);
    if (names.toString('latin1', start, names.indexOf(0, start)) === wanted) return data.subarray(...bounds(index));
  }
  return Buffer.alloc(0);
}

const SIGNATURE_MARK = Buffer.from('~Module signature appended~\n', 'latin1');

/**
 * The module without its appended signature. The package itself was verified
 * by apt; hashing and checking megabytes again inside an emulated guest costs
 * more than loading them.
 */
function withoutSignature(data: Buffer): Buffer {
  if (!data.subarray(-SIGNATURE_MARK.length).equals(SIGNATURE_MARK)) return data;
  const info = data.length - SIGNATURE_MARK.length - 12;
  const signatureLength = data.readUInt32BE(info + 8);
  return data.subarray(0, info - signatureLength);
}
