/**
 * WireGuard by `wireguard-go`, for kernels without the device. One process a
 * device; it is found again by its record and its socket after a restart.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { command, inNamespace } from './command.ts';
import type { DevicePlace, WireguardConfig, WireguardDriver, WireguardStatus } from './device.ts';
import { WireguardError } from './device.ts';
import { decodeGet, encodeSet, exchange, statusOf } from './uapi.ts';

const PROGRAM = 'wireguard-go';
/** Compiled into wireguard-go; the folder is shared by everything on the machine. */
const SOCKET_FOLDER = '/var/run/wireguard';
const START_DEADLINE_MS = 5000;
const ANSWER_DEADLINE_MS = 5000;
const STOP_DEADLINE_MS = 2000;
const POLL_MS = 4;

interface ProcessRecord {
  readonly pid: number;
  /** Clock ticks since boot; tells this process from a later one with the same number. */
  readonly startTicks: string;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Field 22 of /proc/PID/stat, undefined where there is no living process. */
async function startTicksOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export class UserspaceWireguard implements WireguardDriver {
  readonly kind = 'userspace';
  readonly #folder: string;

  /** `folder` holds one small record a device; whoever has the same folder has the same devices. */
  constructor(options: { readonly folder: string }) {
    this.#folder = resolve(options.folder);
  }

  async ensureDevice(place: DevicePlace): Promise<{ created: boolean }> {
    if (await this.#living(place)) return { created: false };
    await this.remove(place);
    await this.#start(place);
    return { created: true };
  }

  async configure(place: DevicePlace, config: WireguardConfig): Promise<void> {
    const present = decodeGet(await this.#ask(place, 'get=1\n\n'));
    const message = encodeSet(config, present);
    if (message !== '') await this.#ask(place, message);
  }

  async lives(place: DevicePlace): Promise<boolean> {
    const record = await this.#record(place);
    return record !== undefined && (await this.#stillRuns(record));
  }

  async status(place: DevicePlace): Promise<WireguardStatus | undefined> {
    if (!(await this.#living(place))) return undefined;
    return statusOf(decodeGet(await this.#ask(place, 'get=1\n\n')));
  }

  async recorded(): Promise<string[]> {
    const files = await readdir(this.#folder).catch(() => [] as string[]);
    return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
  }

  async remove(place: DevicePlace): Promise<void> {
    const record = (await this.#record(place)) ?? (await this.#unrecorded(place));
    if (record !== undefined) {
      if (await this.#stillRuns(record)) await stop(record, this.#stillRuns);
      // A dying process may hold the interface a moment longer than its number.
      await command(inNamespace(place.namespace, ['ip', 'link', 'del', 'dev', place.name])).catch(() => undefined);
    }
    await rm(this.#socket(place), { force: true });
    await rm(this.#recordPath(place), { force: true });
  }

  /**
   * The socket is named after the interface's first name, and its folder is
   * shared, so that name is made from this driver's folder too. The interface
   * gets its real name when it moves.
   */
  #firstName(place: DevicePlace): string {
    const digest = createHash('sha256').update(`${this.#folder}\n${place.name}`).digest('hex');
    return `wg${digest.slice(0, 13)}`;
  }

  #socket(place: DevicePlace): string {
    return join(SOCKET_FOLDER, `${this.#firstName(place)}.sock`);
  }

  #recordPath(place: DevicePlace): string {
    return join(this.#folder, `${place.name}.json`);
  }

  #ask(place: DevicePlace, message: string): Promise<string> {
    return exchange(place.name, this.#socket(place), message, ANSWER_DEADLINE_MS);
  }

  async #record(place: DevicePlace): Promise<ProcessRecord | undefined> {
    try {
      const value = JSON.parse(await readFile(this.#recordPath(place), 'utf8')) as Partial<ProcessRecord>;
      return typeof value.pid === 'number' && typeof value.startTicks === 'string'
        ? { pid: value.pid, startTicks: value.startTicks }
        : undefined;
    } catch {
      return undefined;
    }
  }

  /** A process whose starter ended before it could write the record; its first name is nobody else's. */
  async #unrecorded(place: DevicePlace): Promise<ProcessRecord | undefined> {
    const first = this.#firstName(place);
    if (!(await exists(this.#socket(place)))) return undefined;
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const argv = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
      if (argv[0] !== PROGRAM || argv[2] !== first) continue;
      const startTicks = await startTicksOf(Number(entry));
      if (startTicks !== undefined) return { pid: Number(entry), startTicks };
    }
    return undefined;
  }

  readonly #stillRuns = async (record: ProcessRecord): Promise<boolean> =>
    (await startTicksOf(record.pid)) === record.startTicks;

  /**
   * Process alive, socket and interface where they belong. A namespace that
   * went away takes its interface along, and one of the same name is another.
   */
  async #living(place: DevicePlace): Promise<boolean> {
    const record = await this.#record(place);
    if (record === undefined || !(await this.#stillRuns(record))) return false;
    try {
      const [holds, wanted] = await Promise.all([
        stat(`/proc/${record.pid}/ns/net`),
        stat(place.socketNamespace ?? '/proc/self/ns/net'),
      ]);
      if (holds.ino !== wanted.ino) return false;
      await command(inNamespace(place.namespace, ['ip', 'link', 'show', 'dev', place.name]));
      return true;
    } catch {
      return false;
    }
  }

  async #start(place: DevicePlace): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const first = this.#firstName(place);
    const [file = PROGRAM, ...args] = inNamespace(place.socketNamespace, [PROGRAM, '-f', first]);
    const child = spawn(file, args, {
      detached: true,
      stdio: 'ignore',
      cwd: '/',
      env: { PATH: process.env.PATH, LOG_LEVEL: 'silent', WG_PROCESS_FOREGROUND: '1' },
    });
    let failure: WireguardError | undefined;
    child.on('error', (cause) => {
      failure = new WireguardError(place.name, 'missing', `${PROGRAM} cannot be started: ${cause.message}`, { cause });
    });
    child.on('exit', (code, signal) => {
      failure ??= new WireguardError(place.name, 'start', `${PROGRAM} ended at its start (${signal ?? code})`);
    });
    child.unref();
    try {
      await this.#recordStart(place, child.pid);
      await this.#untilReady(place, () => failure);
      await moveTo(place, first);
    } catch (error) {
      if (child.pid !== undefined && child.exitCode === null) child.kill('SIGKILL');
      await rm(this.#recordPath(place), { force: true });
      await rm(this.#socket(place), { force: true });
      throw failure ?? error;
    }
  }

  async #recordStart(place: DevicePlace, pid: number | undefined): Promise<void> {
    const startTicks = pid === undefined ? undefined : await startTicksOf(pid);
    if (pid === undefined || startTicks === undefined) return;
    await writeFile(this.#recordPath(place), JSON.stringify({ pid, startTicks }), { mode: 0o600 });
  }

  async #untilReady(place: DevicePlace, failure: () => Error | undefined): Promise<void> {
    const deadline = Date.now() + START_DEADLINE_MS;
    for (;;) {
      const failed = failure();
      if (failed !== undefined) throw failed;
      if (await exists(this.#socket(place))) return;
      if (Date.now() > deadline) {
        throw new WireguardError(place.name, 'deadline', `${PROGRAM} has no socket after ${START_DEADLINE_MS} ms`);
      }
      await pause(POLL_MS);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Gives the interface its name, in its namespace. The UDP socket stays where the process is. */
async function moveTo(place: DevicePlace, first: string): Promise<void> {
  const where = place.namespace === undefined ? [] : ['netns', place.namespace];
  await command(inNamespace(place.socketNamespace, ['ip', 'link', 'set', 'dev', first, ...where, 'name', place.name]));
}

async function stop(record: ProcessRecord, stillRuns: (record: ProcessRecord) => Promise<boolean>): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(record.pid, signal);
    } catch {
      return;
    }
    const deadline = Date.now() + STOP_DEADLINE_MS;
    while (Date.now() < deadline) {
      if (!(await stillRuns(record))) return;
      await pause(POLL_MS);
    }
  }
}
