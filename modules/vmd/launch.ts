/** Starts the processes of one machine, detached, so they outlive vmd. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants, existsSync } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GridError } from '../../schemas/errors/index.ts';
import { run } from '../host/run.ts';
import type { MachineGroups } from './cgroup.ts';
import { seedImage } from './cidata/seed.ts';
import type { MachineConfig } from './config.ts';
import { CONSOLE_READER, consoleReaderArguments } from './console.ts';
import type { MachinePaths } from './paths.ts';
import { identify, isAlive, type ProcessIdentity } from './processes.ts';
import { disksOf, qemuArguments, sharesOf } from './qemu/arguments.ts';
import { Qmp, type QmpEvent } from './qemu/qmp.ts';
import { NAME_FILE } from './remains.ts';
import { readTaps } from './taps.ts';

const QEMU = '/usr/bin/qemu-system-x86_64';
const SHARE_SERVER = '/usr/lib/qemu/virtiofsd';
const SETPRIV = '/usr/bin/setpriv';
const MIB = 1024 * 1024;
/** Memory of QEMU and the share servers beside the guest's own. */
const OVERHEAD_BYTES = 512 * MIB;
/** Protects tenants' machines before the node's own helpers, from the grid's node. */
const OOM_SCORE_ADJUST = '-200';
const SHARE_DEADLINE_MS = 10_000;
const QEMU_DEADLINE_MS = 20_000;
const SOCKET_LOOK_MS = 4;
/** What QEMU may do until it changes its user: open devices, then leave root. */
const START_CAPABILITIES = ['net_admin', 'setuid', 'setgid', 'dac_override', 'ipc_lock'] as const;

export interface LaunchOptions {
  readonly config: MachineConfig;
  readonly paths: MachinePaths;
  readonly accelerator: 'kvm' | 'tcg';
  readonly user: number | undefined;
  readonly paused: boolean;
  readonly groups: MachineGroups;
  /** Called after every start, before anything else happens, so that no process is unknown. */
  readonly started: (identity: ProcessIdentity) => void;
  readonly onEvent: (event: QmpEvent) => void;
}

/**
 * Everything a machine needs, up to QEMU's answer on its control socket.
 * Throws what stopped it; the caller ends the processes that were started.
 */
export async function launch(
  options: LaunchOptions,
): Promise<{ readonly qmp: Qmp; readonly limits: readonly string[] }> {
  const { config, paths } = options;
  await checkResources(config);
  await rm(paths.runtime, { recursive: true, force: true });
  await mkdir(paths.runtime, { recursive: true, mode: 0o700 });
  await writeFile(join(paths.runtime, NAME_FILE), `${config.name}\n`, { mode: 0o600 });
  await mkdir(dirname(paths.consoleLog), { recursive: true, mode: 0o700 });
  await writeFile(paths.seed, seedImage(config), { mode: 0o600 });
  await run('mkfifo', ['-m', '0600', `${paths.console}.in`, `${paths.console}.out`], { deadlineMs: 5000 });
  const limits = await options.groups.create(paths.id, {
    memoryBytes: config.memoryBytes + OVERHEAD_BYTES,
    cpus: config.cpus,
  });
  const log = await open(paths.processLog, 'a', 0o600);
  try {
    await startConsole(options, log);
    await Promise.all(sharesOf(config).map((_, index) => startShare(options, index, log)));
    const qemu = await startQemu(options, log);
    const qmp = await Qmp.connect(paths.control, {
      deadlineMs: QEMU_DEADLINE_MS,
      onEvent: options.onEvent,
      giveUp: () => !isAlive(qemu),
    });
    return { qmp, limits };
  } finally {
    await log.close();
  }
}

/** Starts the console reader again for a machine that runs on without it. */
export async function startConsole(
  options: Pick<LaunchOptions, 'paths' | 'groups' | 'started'>,
  log: FileHandle,
): Promise<void> {
  const args = consoleReaderArguments(options.paths.consoleLog, `${options.paths.console}.out`);
  await startProcess(options, 'console', CONSOLE_READER, args, log);
}

async function startShare(options: LaunchOptions, index: number, log: FileHandle): Promise<void> {
  const { paths, config } = options;
  const { path } = sharesOf(config)[index] as { readonly path: string };
  const socket = paths.shareSocket(index);
  const args = [
    `--socket-path=${socket}`,
    '-o',
    `source=${path}`,
    '-o',
    'cache=auto',
    '-o',
    'xattr',
    '-o',
    'log_level=warn',
    '-f',
  ];
  const server = await startProcess(options, `share${index}`, SHARE_SERVER, args, log);
  const deadline = performance.now() + SHARE_DEADLINE_MS;
  while (!existsSync(socket)) {
    if (!isAlive(server)) throw new Error(`share server ${index} ended at once`);
    if (performance.now() > deadline)
      throw new Error(`share server ${index} opened no socket in ${SHARE_DEADLINE_MS} ms`);
    await sleep(SOCKET_LOOK_MS);
  }
}

async function startQemu(options: LaunchOptions, log: FileHandle): Promise<ProcessIdentity> {
  const { config, paths, user } = options;
  const uncached = new Set<string>();
  for (const path of disksOf(config)) if (await opensUncached(path)) uncached.add(path);
  const args = qemuArguments({
    config,
    accelerator: options.accelerator,
    seed: paths.seed,
    control: paths.control,
    console: paths.console,
    shareSockets: sharesOf(config).map((_, index) => paths.shareSocket(index)),
    uncached,
    paused: options.paused,
    ...(user === undefined ? {} : { user }),
  });
  return startProcess(options, 'qemu', SETPRIV, [...privileges(user), QEMU, ...args], log);
}

function privileges(user: number | undefined): string[] {
  if (user === undefined) return ['--no-new-privs'];
  const kept = START_CAPABILITIES.map((capability) => `+${capability}`).join(',');
  return ['--no-new-privs', '--inh-caps=-all', `--bounding-set=-all,${kept}`];
}

async function startProcess(
  options: Pick<LaunchOptions, 'paths' | 'groups' | 'started'>,
  role: string,
  file: string,
  args: readonly string[],
  log: FileHandle,
): Promise<ProcessIdentity> {
  const child = spawn(file, args, {
    detached: true,
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', log.fd, log.fd],
  });
  const identity = child.pid === undefined ? undefined : identify(role, child.pid);
  if (identity === undefined) throw await startFailure(child, file);
  options.started(identity);
  child.on('error', () => undefined);
  child.unref();
  try {
    await options.groups.add(options.paths.id, identity.pid);
    await writeFile(`/proc/${identity.pid}/oom_score_adj`, OOM_SCORE_ADJUST);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // It has ended already, or this user may not protect it; the first shows elsewhere.
    if (code !== 'ENOENT' && code !== 'ESRCH' && code !== 'EACCES' && code !== 'EPERM') throw error;
  }
  return identity;
}

function startFailure(child: ChildProcess, file: string): Promise<Error> {
  return new Promise((resolve) => {
    const program = basename(file);
    child.once('error', (cause: NodeJS.ErrnoException) =>
      resolve(new Error(`${program} cannot be started: ${cause.code}`, { cause })),
    );
    child.once('exit', (code) => resolve(new Error(`${program} ended at once with status ${code}`)));
  });
}

/** Refuses what is missing before anything is started. Throws `machine_tool_missing`, `machine_resource_missing`. */
async function checkResources(config: MachineConfig): Promise<void> {
  for (const [tool, debian] of [
    [QEMU, 'qemu-system-x86'],
    [SHARE_SERVER, 'qemu-system-common'],
    [SETPRIV, 'util-linux'],
    [CONSOLE_READER, 'perl-base'],
  ] as const) {
    if (!existsSync(tool)) throw new GridError('machine_tool_missing', { tool, package: debian });
  }
  const missing = (kind: string, path: string, reason: string): GridError =>
    new GridError('machine_resource_missing', { name: config.name, kind, path, reason });
  const check = async (kind: string, path: string, fits: (stats: Awaited<ReturnType<typeof lstat>>) => boolean) => {
    const stats = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      throw missing(kind, path, error.code === 'ENOENT' ? 'it does not exist' : (error.code ?? 'unknown'));
    });
    if (!fits(stats)) throw missing(kind, path, 'it is of another kind');
  };
  await check('kernel', config.kernel, (stats) => stats.isFile());
  if (config.initrd !== '') await check('initial root', config.initrd, (stats) => stats.isFile());
  for (const path of disksOf(config)) await check('disk', path, (stats) => stats.isFile() || stats.isBlockDevice());
  for (const { path } of sharesOf(config)) await check('shared folder', path, (stats) => stats.isDirectory());
  const taps = config.interfaces.length === 0 ? undefined : await readTaps();
  for (const { tap } of config.interfaces) {
    if (taps?.has(tap) !== true) throw missing('tap', tap, `there is no device ${tap} in this network namespace`);
  }
}

/** Whether the disk's file system takes direct input and output. */
async function opensUncached(path: string): Promise<boolean> {
  try {
    const file = await open(path, constants.O_RDWR | constants.O_DIRECT | constants.O_NOFOLLOW);
    await file.close();
    return true;
  } catch {
    return false;
  }
}
