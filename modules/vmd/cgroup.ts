/** One control group for each machine: limits where the host offers version 2 controllers. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** File system type of a version 2 hierarchy, from the kernel's magic.h. */
const CGROUP2_MAGIC = 0x63677270;
const CONTROLLERS = ['memory', 'cpu'] as const;
/** Microseconds of the period that processor shares are counted in. */
const CPU_PERIOD_US = 100_000;
/** Processor time QEMU's own threads and the share servers get beside the guest's. */
const OWN_CPUS = 1;

export interface GroupLimits {
  readonly memoryBytes: number;
  readonly cpus: number;
}

export class MachineGroups {
  readonly #root: string | undefined;

  private constructor(root: string | undefined) {
    this.#root = root;
  }

  /**
   * Groups below `name` in the version 2 hierarchy; does nothing on a host
   * where there is none or where it may not be written.
   */
  static async open(name: string): Promise<MachineGroups> {
    const mount = await mountPoint();
    // Another mount may hide the hierarchy, as `ip netns exec` does with its own /sys.
    const type = mount === undefined ? undefined : await statfs(mount).catch(() => undefined);
    if (mount === undefined || type?.type !== CGROUP2_MAGIC) return new MachineGroups(undefined);
    const root = join(mount, name);
    try {
      await mkdir(root, { recursive: true });
    } catch {
      return new MachineGroups(undefined);
    }
    await delegate(mount);
    await delegate(root);
    return new MachineGroups(root);
  }

  /** Makes the machine's group; which limits the kernel enforces there. */
  async create(id: string, limits: GroupLimits): Promise<readonly string[]> {
    if (this.#root === undefined) return [];
    const folder = join(this.#root, id);
    await mkdir(folder, { recursive: true });
    const enforced: string[] = [];
    const values = {
      'memory.max': String(limits.memoryBytes),
      'cpu.max': `${(limits.cpus + OWN_CPUS) * CPU_PERIOD_US} ${CPU_PERIOD_US}`,
    };
    for (const [file, value] of Object.entries(values)) {
      if (!existsSync(join(folder, file))) continue;
      await writeFile(join(folder, file), value);
      enforced.push(file);
    }
    return enforced;
  }

  /** Puts a process into the group. */
  async add(id: string, pid: number): Promise<void> {
    if (this.#root === undefined) return;
    await writeFile(join(this.#root, id, 'cgroup.procs'), String(pid));
  }

  /** Kills what still runs in the group and removes it. */
  async remove(id: string): Promise<void> {
    if (this.#root === undefined) return;
    const folder = join(this.#root, id);
    await writeFile(join(folder, 'cgroup.kill'), '1').catch(() => undefined);
    await removeGroup(folder);
  }

  /** Ids of all groups that exist. */
  async list(): Promise<string[]> {
    if (this.#root === undefined) return [];
    const items = await readdir(this.#root, { withFileTypes: true });
    return items.filter((item) => item.isDirectory()).map((item) => item.name);
  }

  /** Removes the folder of all groups where none is left. */
  async close(): Promise<void> {
    if (this.#root !== undefined) await rmdir(this.#root).catch(() => undefined);
  }
}

async function removeGroup(folder: string): Promise<void> {
  // The kernel lets go of a group a moment after its last process has ended.
  for (let attempt = 0; attempt < 40; attempt += 1) {
    try {
      await rmdir(folder);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      if (code !== 'EBUSY') throw error;
      await sleep(25);
    }
  }
  throw new Error(`the control group ${folder} still has processes`);
}

/** Where the version 2 hierarchy is mounted. */
async function mountPoint(): Promise<string | undefined> {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, , type]) => type === 'cgroup2')?.[1];
}

/** Hands the controllers that exist down; a host may keep them to itself. */
async function delegate(folder: string): Promise<void> {
  for (const controller of CONTROLLERS) {
    await writeFile(join(folder, 'cgroup.subtree_control'), `+${controller}`).catch(() => undefined);
  }
}
