/**
 * Whether KVM works, found out by running a guest. The device file exists on
 * hosts where every guest hangs once it leaves real mode.
 */
import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson, writeFileAtomic } from '../../host/files.ts';
import { HostCommandError, run } from '../../host/run.ts';
import { bootId } from '../processes.ts';

const QEMU = '/usr/bin/qemu-system-x86_64';
const PROBE_DEADLINE_MS = 3000;
const FIRMWARE_BYTES = 64 * 1024;
/** Where a processor starts, counted from the end of the firmware. */
const RESET_VECTOR = 16;
/** The port of QEMU's exit device and the status that the probe writes to it. */
const EXIT_PORT = 0xf4;
const EXIT_CODE = (0x10 << 1) | 1;

/**
 * Machine code at F000:0000: loads a descriptor table, enters protected mode,
 * maps the first 2 MiB in three page tables at 0x1000, enables long mode and
 * paging, and in 64-bit code writes 0x10 to port 0xf4.
 */
const PROBE_CODE = Buffer.from(
  'fa2e660f011698000f20c00c010f22c066ea18000f00080066b810008ed8' +
    'c7050010000003200000c7050020000003300000c7050030000083000000' +
    'b8001000000f22d80f20e083c8200f22e0b9800000c00f320d000100000f' +
    '300f20c00d000000800f22c0ea6d000f001800b010e6f4f4ebf90f1f4000' +
    '0000000000000000ffff0000009acf00ffff00000092cf00ffff0000009a' +
    'af001f0078000f00',
  'hex',
);
/** jmp F000:0000 */
const RESET_CODE = Buffer.from('ea000000f0', 'hex');

export interface KvmFinding {
  readonly works: boolean;
  /** What was seen, for a person. */
  readonly reason: string;
}

const cacheSchema = z.object({ key: z.string(), works: z.boolean(), reason: z.string() });

/**
 * The finding of this boot and kernel, kept in `<state>/vmd/kvm.json`; found
 * out by a run of at most three seconds where there is none yet.
 */
export async function probeKvm(options: {
  readonly stateDir: string;
  readonly signal?: AbortSignal;
}): Promise<KvmFinding> {
  const folder = join(options.stateDir, 'vmd');
  const path = join(folder, 'kvm.json');
  const key = `${release()} ${await bootId()}`;
  const cached = cacheSchema.safeParse(await readJson(path).catch(() => undefined));
  if (cached.success && cached.data.key === key) return { works: cached.data.works, reason: cached.data.reason };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const obstacle = await findObstacle();
  // What an operator can mend at any moment is not kept.
  if (obstacle !== undefined) return { works: false, reason: obstacle };
  const finding = await runProbe('kvm', folder, options.signal);
  await writeFileAtomic(path, `${JSON.stringify({ key, ...finding })}\n`, 0o600);
  return finding;
}

async function findObstacle(): Promise<string | undefined> {
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
    await access(QEMU, constants.X_OK);
    return undefined;
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? `there is no ${path}` : `this user may not open ${path}`;
  }
}

/** Runs the probe guest under one accelerator; `works` when its 64-bit code was reached. */
export async function runProbe(accelerator: 'kvm' | 'tcg', folder: string, signal?: AbortSignal): Promise<KvmFinding> {
  const firmware = Buffer.alloc(FIRMWARE_BYTES, 0xf4);
  PROBE_CODE.copy(firmware);
  RESET_CODE.copy(firmware, FIRMWARE_BYTES - RESET_VECTOR);
  const image = join(folder, `probe-${randomBytes(4).toString('hex')}.bin`);
  await writeFile(image, firmware, { mode: 0o600 });
  const machine = ['-machine', 'pc', '-accel', accelerator, '-m', '16M', '-bios', image];
  const quiet = ['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'];
  const exit = ['-device', `isa-debug-exit,iobase=0x${EXIT_PORT.toString(16)},iosize=4`];
  try {
    await run(QEMU, [...machine, ...quiet, ...exit], {
      deadlineMs: PROBE_DEADLINE_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    return { works: false, reason: 'the probe guest ended without its sign' };
  } catch (error) {
    if (!(error instanceof HostCommandError) || error.reason === 'aborted') throw error;
    if (error.exitCode === EXIT_CODE) return { works: true, reason: 'a 64-bit guest ran' };
    const hung = error.reason === 'deadline';
    return {
      works: false,
      reason: hung ? `a 64-bit guest hung for ${PROBE_DEADLINE_MS} ms although /dev/kvm exists` : error.message,
    };
  } finally {
    await rm(image, { force: true });
  }
}
