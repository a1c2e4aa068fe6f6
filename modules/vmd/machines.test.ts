import { execFileSync, spawn } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isGridError } from '../../schemas/errors/index.ts';
import { machineConfig } from './config.ts';
import { consoleTail } from './console.ts';
import type { CrashPolicy } from './crashes.ts';
import { openQemu } from './drivers/qemu.ts';
import { Machines } from './machines.ts';
import { isAlive, type ProcessIdentity, waitGone } from './processes.ts';
import { leftovers } from './testing/leftovers.ts';
import { canRunMachines, makeRig, type Rig, stillFor, type TestVM, testVM, textOf, until } from './testing/rig.ts';

const BOOT_MS = 60_000;
const MIB = 1024 * 1024;
const CAP_SYS_RESOURCE = 24n;

/** Whether this host lets root lower a process's chance of being killed for memory. */
async function mayProtect(): Promise<boolean> {
  const mask = /^CapEff:\t([0-9a-f]+)$/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

describe.skipIf(!canRunMachines)('machines', { timeout: 180_000 }, () => {
  let rig: Rig;
  let machines: Machines;
  const gaveUp: { name: string; reason: string }[] = [];

  const openMachines = async (policy?: CrashPolicy): Promise<Machines> => {
    const log = pino({ level: 'silent' });
    const driver = await openQemu({
      stateDir: rig.state,
      log,
      accelerator: 'tcg',
      user: 'own',
      ...(policy === undefined ? {} : { policy }),
      gaveUp: (name, reason) => {
        gaveUp.push({ name, reason });
        return Promise.resolve();
      },
    });
    return Machines.open({ driver, log });
  };
  const start = async (vm: TestVM): Promise<void> => machines.run(machineConfig(vm));
  const logOf = async (name: string): Promise<string> =>
    (await consoleTail(join(rig.state, 'vmd/logs', name), 4000)) ?? '';
  const processesOf = async (name: string): Promise<ProcessIdentity[]> => {
    const record = JSON.parse(await readFile(join(rig.state, 'vmd/vms', `${name}.json`), 'utf8')) as {
      processes: ProcessIdentity[];
    };
    return record.processes;
  };
  const qemuOf = async (name: string): Promise<ProcessIdentity> => {
    const found = (await processesOf(name)).find(({ role }) => role === 'qemu');
    if (found === undefined) throw new Error(`${name} has no QEMU`);
    return found;
  };

  beforeAll(async () => {
    rig = await makeRig();
  }, 120_000);
  beforeEach(async () => {
    gaveUp.length = 0;
    machines = await openMachines();
  });
  afterEach(async () => {
    await Promise.all(machines.list().map(({ config }) => machines.delete(config.name)));
    await machines.close();
  }, 120_000);
  afterAll(async () => {
    await rig.close();
    expect(await leftovers(rig.state)).toEqual([]);
  }, 120_000);

  it('boots a folder with its environment, arguments, disks and shares, pauses, and leaves nothing', async () => {
    const root = await rig.root(
      'full',
      `echo "$$|$A|$1|$2|$#|$HOME|$(hostname)" >/out.part
       cat /proc/mounts >/mounts; cat /etc/resolv.conf >/resolv; cat /root/.ssh/authorized_keys >/keys
       echo from-guest >/ext/file; echo from-guest >/butter/file; echo from-guest >/share/file
       mv /out.part /out
       i=0; while :; do i=$((i + 1)); echo tick $i; echo $i >/ticks; sleep 0.2; done`,
    );
    execFileSync('ln', ['-s', 'busybox', join(root, 'bin/mv')]);
    const ext = join(rig.state, 'ext.raw');
    const butter = join(rig.state, 'butter.raw');
    execFileSync('truncate', ['-s', '16M', ext]);
    execFileSync('truncate', ['-s', '120M', butter]);
    execFileSync('mkfs.ext4', ['-q', ext]);
    execFileSync('mkfs.btrfs', ['-q', butter]);
    const share = join(rig.state, 'share');
    await mkdir(share);
    const name = '29-1234-full';
    const vm = testVM(rig, name, root, {
      Entrypoint: `/entry 'two words' "$x"`,
      Environment: new Map([
        ['A', `it's "$HOME" \\ end`],
        ['SSH_KEY', 'ssh-ed25519 AAAA one\nssh-ed25519 BBBB two'],
      ]),
      Disks: [
        { Path: ext, Target: '/ext' },
        { Path: butter, Target: '/butter' },
      ],
      Shared: [{ ID: 'vol', Path: share, Target: '/share' }],
      Network: { Ifaces: [], Nameservers: [Uint8Array.of(8, 8, 8, 8)] },
    });
    await start(vm);
    await until(
      'guest wrote /out',
      () => textOf(join(root, 'out')),
      BOOT_MS,
      () => logOf(name),
    );
    expect(await textOf(join(root, 'out'))).toBe(`1|it's "$HOME" \\ end|two words|$x|2|/root|testvm\n`);
    const mounts = await textOf(join(root, 'mounts'));
    expect(mounts).toMatch(/^\/dev\/vda \/ext ext4 /m);
    expect(mounts).toMatch(/^\/dev\/vdb \/butter btrfs /m);
    expect(mounts).toMatch(/^vol \/share virtiofs /m);
    for (const type of ['proc', 'sysfs', 'devtmpfs', 'devpts', 'cgroup2']) expect(mounts).toContain(` ${type} `);
    expect(await textOf(join(share, 'file'))).toBe('from-guest\n');
    expect(await textOf(join(root, 'keys'))).toBe('ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\n');

    const record = join(rig.state, 'vmd/vms', `${name}.json`);
    expect((await stat(record)).mode & 0o777).toBe(0o600);
    const qemu = await qemuOf(name);
    const status = await readFile(`/proc/${qemu.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t(?!0\t)/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    expect((await textOf(`/proc/${qemu.pid}/oom_score_adj`)).trim()).toBe((await mayProtect()) ? '-200' : '0');
    expect(await textOf(`/proc/${qemu.pid}/cmdline`)).not.toContain('AAAA');

    await start(vm);
    expect((await qemuOf(name)).pid).toBe(qemu.pid);
    await expect(start({ ...vm, CPU: 2 })).rejects.toThrow('a vm with same name already exists');
    expect(await machines.get(name).inspect()).toEqual({ cpus: 1, memoryMib: 256 });

    await machines.get(name).lock(true);
    const frozen = await stillFor(700, () => textOf(join(root, 'ticks')));
    await machines.get(name).lock(false);
    await until('guest goes on', async () => (await textOf(join(root, 'ticks'))) !== frozen, BOOT_MS);
    await until('the console shows it', async () => /tick \d+/.test(await logOf(name)), BOOT_MS);

    await machines.delete(name);
    expect(machines.find(name)).toBeUndefined();
    expect(await leftovers(rig.state)).toEqual([]);
    // What the guest wrote is on the disk although it never heard of its power button.
    expect(execFileSync('debugfs', ['-R', 'cat /file', ext], { stdio: ['ignore', 'pipe', 'ignore'] }).toString()).toBe(
      'from-guest\n',
    );
  });

  it('starts a killed machine again and leaves its neighbour alone', async () => {
    const script = 'echo boot >>/boots; echo up; exec sleep 1000';
    const roots = { a: await rig.root('a', script), b: await rig.root('b', script) };
    await Promise.all([start(testVM(rig, 'a', roots.a)), start(testVM(rig, 'b', roots.b))]);
    await until(
      'a is up',
      () => textOf(join(roots.a, 'boots')),
      BOOT_MS,
      () => logOf('a'),
    );
    await until(
      'b is up',
      () => textOf(join(roots.b, 'boots')),
      BOOT_MS,
      () => logOf('b'),
    );
    const [first, neighbour] = [await qemuOf('a'), await qemuOf('b')];
    process.kill(first.pid, 'SIGKILL');
    await until(
      'a booted twice',
      async () => (await textOf(join(roots.a, 'boots'))) === 'boot\nboot\n',
      BOOT_MS,
      () => logOf('a'),
    );
    expect((await qemuOf('a')).pid).not.toBe(first.pid);
    expect((await qemuOf('b')).pid).toBe(neighbour.pid);
    expect(gaveUp).toEqual([]);

    // A machine whose share server died has lost its root.
    const share = (await processesOf('a')).find(({ role }) => role === 'share0') as ProcessIdentity;
    const second = await qemuOf('a');
    process.kill(share.pid, 'SIGKILL');
    expect(await waitGone([share], 20_000)).toBe(true);
    await machines.get('a').tend();
    expect(await waitGone([second], 20_000)).toBe(true);
    const again = async () => (await processesOf('a')).some(({ role, pid }) => role === 'qemu' && pid !== second.pid);
    await until('a has a third QEMU', again, 20_000);
  });

  it('reports a machine that keeps crashing, with its last words, and removes it', async () => {
    await machines.close();
    machines = await openMachines({ windowMs: 60_000, backOffMs: [50] });
    const root = await rig.root('bad', 'echo boot >>/boots; echo about to power off; poweroff -f');
    await start(testVM(rig, '1-2-bad', root));
    const report = await until(
      'gave up',
      () => gaveUp[0],
      BOOT_MS,
      () => logOf('1-2-bad'),
    );
    expect(report.name).toBe('1-2-bad');
    expect(report.reason).toMatch(/so many crashes: 2 within 60 s.*guest-shutdown/);
    expect(report.reason).toContain('about to power off');
    expect(await textOf(join(root, 'boots'))).toBe('boot\nboot\n');
    await until('nothing is left', async () => (await leftovers(rig.state)).length === 0, 20_000);
  });

  it('brings a crashed machine back once a full host has space again', async () => {
    const root = await rig.root('full-host', 'echo boot >>/boots; exec sleep 1000');
    await machines.close();
    const disk = join(rig.state, 'vmd');
    await mkdir(disk, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]);
    try {
      machines = await openMachines();
      await start(testVM(rig, '1-2-full', root));
      const boots = () => textOf(join(root, 'boots'));
      await until('it is up', boots, BOOT_MS, () => logOf('1-2-full'));
      const { pid } = await qemuOf('1-2-full');
      const ballast = [65_536, 4096, 1].map((size) => join(disk, `ballast-${size}`));
      for (const path of ballast) execFileSync('sh', ['-c', 'cat /dev/zero 2>/dev/null >"$0" || :', path]);
      process.kill(pid, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, 2500));
      expect(machines.find('1-2-full')).toBeDefined();
      expect(gaveUp).toEqual([]);
      for (const path of ballast) execFileSync('rm', [path]);
      await until('it booted again', async () => (await boots()) === 'boot\nboot\n', BOOT_MS);
      expect(gaveUp).toEqual([]);
      await machines.delete('1-2-full');
      await machines.close();
    } finally {
      execFileSync('umount', ['--lazy', disk]);
      machines = await openMachines();
    }
    expect(await leftovers(rig.state)).toEqual([]);
  });

  it('says on the console why a guest cannot boot, and does not restart one whose owner will', async () => {
    const root = await rig.root('none', 'true');
    await start(testVM(rig, '1-2-none', root, { Entrypoint: '/missing arg', NoKeepAlive: true }));
    await until(
      'it ended',
      () => machines.find('1-2-none') === undefined,
      BOOT_MS,
      () => logOf('1-2-none'),
    );
    expect(await logOf('1-2-none')).toContain('boot failed: the entrypoint /missing is not an executable file');
    expect(gaveUp).toEqual([]);
    await machines.delete('1-2-none');
    expect(await leftovers(rig.state)).toEqual([]);
  });

  it('purges a state folder from outside, and no process that is not its own', async () => {
    await start(testVM(rig, '1-2-purged', await rig.root('purged', 'exec sleep 1000')));
    await machines.close();
    const path = join(rig.state, 'vmd/vms/1-2-purged.json');
    const record = JSON.parse(await readFile(path, 'utf8')) as { processes: ProcessIdentity[] };
    const bystander = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    const pid = bystander.pid as number;
    try {
      await writeFile(
        path,
        JSON.stringify({ ...record, processes: [...record.processes, { role: 'share9', pid, startTicks: '1' }] }),
      );
      const script = join(import.meta.dirname, 'purge.ts');
      expect(execFileSync(process.execPath, [script, '--state', rig.state]).toString()).toBe('1-2-purged\n');
      expect(await leftovers(rig.state)).toEqual([]);
      expect(record.processes.some(isAlive)).toBe(false);
      expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
    } finally {
      bystander.kill('SIGKILL');
    }
  });

  it('refuses what cannot run, and leaves nothing', async () => {
    const root = await rig.root('refused', 'true');
    const vm = testVM(rig, '1-2-refused', root);
    const link = join(rig.state, 'link');
    execFileSync('ln', ['-s', '/etc/passwd', link]);
    const tap = {
      Tap: 't-none',
      MAC: '52:54:00:00:00:01',
      IPs: [],
      Routes: [],
      IP4DefaultGateway: null,
      IP6DefaultGateway: null,
      PublicIPv4: false,
      PublicIPv6: false,
      NetID: '',
    };
    const refusals: [Partial<TestVM>, string, RegExp][] = [
      [{ KernelImage: '/nonexistent' }, 'machine_resource_missing', /the kernel of '1-2-refused' .* does not exist/],
      [{ KernelImage: link }, 'machine_resource_missing', /of another kind/],
      [{ Disks: [{ Path: link, Target: '/d' }] }, 'machine_resource_missing', /disk .* another kind/],
      [{ Boot: { Type: 1, Path: join(rig.state, 'nowhere') } }, 'machine_resource_missing', /shared folder/],
      [{ Boot: { Type: 0, Path: link } }, 'machine_boot_unsupported', /disk image/],
      [{ Network: { Ifaces: [tap], Nameservers: [] } }, 'machine_resource_missing', / t-none /],
      [{ Environment: new Map([['BIG', 'x'.repeat(3 * MIB)]]) }, 'machine_seed_full', /seed disk holds/],
    ];
    for (const [over, code, words] of refusals) {
      const failure = await start({ ...vm, ...over }).catch((error: unknown) => error);
      expect(isGridError(failure) && failure.code).toBe(code);
      expect((failure as Error).message).toMatch(words);
      expect((failure as Error).message).not.toContain(rig.state);
      expect(await leftovers(rig.state)).toEqual([]);
    }
    await writeFile(join(rig.state, 'kernel'), 'not a kernel');
    const failure = await start({ ...vm, KernelImage: join(rig.state, 'kernel') }).catch((error: unknown) => error);
    expect(isGridError(failure, 'machine_start_failed')).toBe(true);
    // QEMU's own words name its options and files: they are in the log, not in what a tenant gets.
    expect((failure as Error).message).toMatch(/^the virtual machine '1-2-refused' did not start: .*QEMU/);
    expect((failure as Error).message).not.toMatch(/qemu-system|-kernel/);
    expect((failure as Error).message).not.toContain(rig.state);
    expect(await leftovers(rig.state)).toEqual([]);
    expect(() => machines.get('1-2-refused')).toThrow(/no virtual machine/);
  });
});
