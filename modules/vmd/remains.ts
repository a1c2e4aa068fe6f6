/**
 * Everything of machines that the host has, found there and not in vmd's memory: records, and processes, folders,
 * control groups, locks and logs that no record explains.
 */
import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineGroups } from './cgroup.ts';
import type { MachineItem } from './drivers/driver.ts';
import type { Paths } from './paths.ts';
import { bootId, identify, type ProcessIdentity, waitGone } from './processes.ts';
import { sharesOf } from './qemu/arguments.ts';
import { readRecord, removeRecord } from './record.ts';
import { endProcesses, removeRuntime } from './shutdown.ts';

/** Holds the machine's name, in its run folder: the folder's own name is a digest. */
export const NAME_FILE = 'machine';
const RECORD = '.json';
/** What a machine's logs are called beside the console's own, which bears the machine's name alone. */
const LOG_SUFFIXES = ['', '.0', '.processes'] as const;
const KILL_MS = 5000;

interface Found {
  readonly processes: ReadonlyMap<string, readonly MachineProcess[]>;
  readonly locks: ReadonlyMap<string, readonly string[]>;
  readonly groups: ReadonlySet<string>;
  readonly folders: ReadonlySet<string>;
  /** Names by short name, of machines that have a record. */
  readonly recorded: ReadonlyMap<string, string>;
}

interface MachineProcess extends ProcessIdentity {
  /** The machine's name, where the process was told it. */
  readonly machine: string;
}

export class Remains {
  readonly #paths: Paths;
  readonly #groups: MachineGroups;

  constructor({ paths, groups }: { readonly paths: Paths; readonly groups: MachineGroups }) {
    this.#paths = paths;
    this.#groups = groups;
  }

  async items(): Promise<MachineItem[]> {
    const found = await this.#look();
    const items: MachineItem[] = [];
    for (const name of found.recorded.values()) {
      items.push({ ...whole(name), since: await bornAt(this.#paths.of(name).record) });
    }
    const ids = new Set([...found.processes.keys(), ...found.locks.keys(), ...found.groups, ...found.folders]);
    for (const id of ids) if (!found.recorded.has(id)) items.push(...(await this.#parts(id, found)));
    items.push(...(await this.#logs(new Set(found.recorded.values()))));
    return items;
  }

  async removeItem(kind: MachineItem['kind'], name: string): Promise<void> {
    if (kind === 'machine') return this.#removeMachine(name);
    if (kind === 'console-log') return this.#removeLogs(name);
    await this.#removeParts(name);
    const left = (await this.items()).some((item) => item.name === name && item.kind !== 'machine');
    if (left) throw new Error(`${kind} ${name} is still there after its removal`);
  }

  /** Of a machine without a record. */
  async #parts(id: string, { processes, locks, groups, folders }: Found): Promise<MachineItem[]> {
    const running = processes.get(id) ?? [];
    const told = running.find(({ machine }) => machine !== '')?.machine;
    const runtime = join(this.#paths.runtimes, id);
    const machine = told ?? (await readFile(join(runtime, NAME_FILE), 'utf8').catch(() => '')).trim();
    const part = (kind: MachineItem['kind'], since = 0): MachineItem => {
      return { kind, name: id, machine, bytes: 0, since, residue: running.length === 0 };
    };
    return [
      ...(running.length > 0 ? [part('process')] : []),
      ...(folders.has(id) ? [part('run-folder', await bornAt(runtime))] : []),
      ...(groups.has(id) ? [part('control-group')] : []),
      ...(locks.has(id) ? [part('share-lock')] : []),
    ];
  }

  async #logs(recorded: ReadonlySet<string>): Promise<MachineItem[]> {
    const bytes = new Map<string, number>();
    for (const file of await list(this.#paths.logs)) {
      const suffix = LOG_SUFFIXES.find((one) => one !== '' && file.endsWith(one)) ?? '';
      const name = file.slice(0, file.length - suffix.length);
      if (recorded.has(name)) continue;
      const stats = await lstat(join(this.#paths.logs, file)).catch(() => undefined);
      bytes.set(name, (bytes.get(name) ?? 0) + (stats?.size ?? 0));
    }
    return [...bytes].map(([name, size]) => ({ ...whole(name), kind: 'console-log', bytes: size }));
  }

  async #removeMachine(name: string): Promise<void> {
    const own = this.#paths.of(name);
    const record = await readRecord(own.record).catch(() => undefined);
    if (record !== undefined && record.bootId === (await bootId())) await endProcesses(name, record.processes);
    const shares = record === undefined ? [] : sharesOf(record.config);
    await removeRecord(own.record);
    await this.#removeParts(own.id);
    const locks = shares.map((_, index) => this.#paths.shareLock(own.shareSocket(index)));
    await removeRuntime(own.runtime, locks);
    await this.#removeLogs(name);
    const left = (await this.items()).some((item) => item.machine === name || item.name === own.id);
    if (left) throw new Error(`machine ${name} is still there after its removal`);
  }

  async #removeLogs(name: string): Promise<void> {
    if (await exists(this.#paths.of(name).record)) return;
    for (const suffix of LOG_SUFFIXES) await rm(join(this.#paths.logs, `${name}${suffix}`), { force: true });
  }

  /** Kills and removes what bears a short name, unless a machine with a record has it by now. */
  async #removeParts(id: string): Promise<void> {
    const { processes, locks, groups, recorded } = await this.#look();
    if (recorded.has(id)) return;
    const running = processes.get(id) ?? [];
    for (const one of running) kill(one);
    await waitGone(running, KILL_MS);
    if (groups.has(id)) await this.#groups.remove(id);
    for (const lock of locks.get(id) ?? []) await rm(lock, { force: true });
    if (/^[0-9a-f]+$/.test(id)) await rm(join(this.#paths.runtimes, id), { recursive: true, force: true });
  }

  /** Records come last: a machine's is there before its processes and goes after them. */
  async #look(): Promise<Found> {
    const processes = await this.#processes();
    const locks = await this.#locks();
    const groups = new Set(await this.#groups.list());
    const folders = new Set(await list(this.#paths.runtimes));
    const recorded = new Map<string, string>();
    for (const file of await list(this.#paths.records)) {
      if (!file.endsWith(RECORD)) continue;
      const name = file.slice(0, -RECORD.length);
      recorded.set(this.#paths.idOf(name), name);
    }
    return { processes, locks, groups, folders, recorded };
  }

  /** By the sockets and pipes they were started with. */
  async #processes(): Promise<Map<string, MachineProcess[]>> {
    const found = new Map<string, MachineProcess[]>();
    for (const pid of await readdir('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
      const id = this.#idIn(line);
      const identity = id === undefined ? undefined : identify('machine', Number(pid));
      if (id === undefined || identity === undefined) continue;
      found.set(id, [...(found.get(id) ?? []), { ...identity, machine: this.#machineIn(line) }]);
    }
    return found;
  }

  /** QEMU is told the machine's name, and its console's reader the log that bears it. */
  #machineIn(line: string): string {
    const words = line.split('\0');
    const guest = words.find((word) => word.startsWith('guest='))?.slice('guest='.length);
    const logged = words.find((word) => word.startsWith(`${this.#paths.logs}/`))?.slice(this.#paths.logs.length + 1);
    return guest ?? logged ?? '';
  }

  #idIn(line: string): string | undefined {
    const start = `${this.#paths.runtimes}/`;
    const at = line.indexOf(start);
    return at < 0 ? undefined : /^[0-9a-f]{20}(?=\/)/.exec(line.slice(at + start.length))?.[0];
  }

  async #locks(): Promise<Map<string, string[]>> {
    const found = new Map<string, string[]>();
    const folder = this.#paths.shareLockFolder;
    const start = `${this.#paths.runtimes.replaceAll('/', '.')}.`;
    for (const file of await list(folder)) {
      const id = file.startsWith(start) ? /^[0-9a-f]{20}(?=\.)/.exec(file.slice(start.length))?.[0] : undefined;
      if (id !== undefined) found.set(id, [...(found.get(id) ?? []), join(folder, file)]);
    }
    return found;
  }
}

function whole(name: string): MachineItem {
  return { kind: 'machine', name, machine: name, bytes: 0, since: 0, residue: false };
}

function kill({ pid, startTicks }: ProcessIdentity): void {
  if (identify('machine', pid)?.startTicks !== startTicks) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function list(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function bornAt(path: string): Promise<number> {
  const stats = await lstat(path).catch(() => undefined);
  return Math.floor(stats?.birthtimeMs ?? 0);
}
