/** A private state folder, a guest and small root file systems for tests that run real machines. */
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Infer } from '../../zbus/wire.ts';
import { buildGuest, type Guest } from '../guest/build.ts';
import type { VM } from '../interface.ts';
import { purge } from '../purge.ts';

export type TestVM = Infer<typeof VM>;

const MIB = 1024 * 1024;
const STILL_DEADLINE_MS = 20_000;
/** Where the guest is kept between test runs, so that only the first one downloads a kernel. Not under version control. */
export const GUEST_CACHE = join(import.meta.dirname, '../../../.state/test-guest');
const BUSYBOX = '/bin/busybox';
const APPLETS = ['sh', 'cat', 'ip', 'poweroff', 'sleep', 'df', 'hostname', 'ping', 'sync', 'nc', 'reboot'] as const;

/** Whether this host can run the tests' machines at all. */
export const canRunMachines =
  process.getuid?.() === 0 &&
  ['/usr/bin/qemu-system-x86_64', '/usr/lib/qemu/virtiofsd', BUSYBOX].every((path) => existsSync(path));

export interface Rig {
  readonly state: string;
  readonly guest: Guest;
  /** A new root file system with busybox; `script` becomes `/entry`. */
  readonly root: (name: string, script: string) => Promise<string>;
  readonly close: () => Promise<void>;
}

export async function makeRig(): Promise<Rig> {
  const state = await mkdtemp(join(tmpdir(), 'gn-vm-'));
  const guest = await buildGuest({ stateDir: GUEST_CACHE });
  return {
    state,
    guest,
    root: async (name, script) => {
      const root = join(state, 'roots', name);
      // A second try of a test makes it again.
      await rm(root, { recursive: true, force: true });
      await mkdir(join(root, 'bin'), { recursive: true });
      await copyFile(BUSYBOX, join(root, 'bin/busybox'));
      for (const applet of APPLETS) await symlink('busybox', join(root, 'bin', applet));
      await writeFile(join(root, 'entry'), `#!/bin/sh\n${script}\n`);
      await chmod(join(root, 'entry'), 0o755);
      return root;
    },
    close: async () => {
      await purge(state);
      await rm(state, { recursive: true, force: true });
    },
  };
}

/** A machine that boots `root`; other fields as given. */
export function testVM(rig: Rig, name: string, root: string, over: Partial<TestVM> = {}): TestVM {
  return {
    Name: name,
    CPU: 1,
    Memory: 256 * MIB,
    Network: { Ifaces: [], Nameservers: [] },
    KernelImage: rig.guest.kernel,
    InitrdImage: rig.guest.initrd,
    KernelArgs: new Map(),
    Entrypoint: '/entry',
    Disks: [],
    Shared: [],
    Boot: { Type: 1, Path: root },
    Environment: new Map(),
    NoKeepAlive: false,
    Hostname: 'testvm',
    Devices: [],
    ...over,
  };
}

/** The first value that is neither undefined, false nor empty. Throws after the deadline, with `state`'s words. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  deadlineMs: number,
  state: () => string | Promise<string> = () => '',
): Promise<NonNullable<T>> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== null && value !== false && value !== '') return value as NonNullable<T>;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${deadlineMs} ms; ${await state()}`);
    await sleep(20);
  }
}

/** What stays the same for so long, as of a guest that is paused: what it had begun may still arrive. Throws where nothing does. */
export async function stillFor(ms: number, look: () => Promise<string>): Promise<string> {
  const deadline = performance.now() + STILL_DEADLINE_MS;
  for (let seen = await look(); ; ) {
    await sleep(ms);
    const now = await look();
    if (now === seen) return now;
    if (performance.now() > deadline) throw new Error(`still changing after ${STILL_DEADLINE_MS} ms: ${now}`);
    seen = now;
  }
}

/** A file's text, empty where there is none. */
export function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
