/** What a node needs of its host, tried for real where trying is harmless. */
import { access, constants, readFile, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { run } from '../../modules/host/run.ts';
import { size } from '../table.ts';

export interface Finding {
  readonly check: string;
  /** `warn`: a node runs, with less. */
  readonly state: 'ok' | 'warn' | 'fail';
  readonly found: string;
  /** What to do; empty when nothing is. */
  readonly remedy: string;
}

const GiB = 1024 ** 3;
const DEADLINE_MS = 10_000;
const MEMORY_NEEDED = 2 * GiB;
const DISK_NEEDED = 4 * GiB;
/** Of a node that runs: for journal, logs and what is unpacked. */
const DISK_KEPT = GiB / 4;

const ok = (check: string, found: string): Finding => ({ check, state: 'ok', found, remedy: '' });
const fail = (check: string, found: string, remedy: string): Finding => ({ check, state: 'fail', found, remedy });
const warn = (check: string, found: string, remedy: string): Finding => ({ check, state: 'warn', found, remedy });

export function checkRoot(): Finding {
  const uid = process.getuid?.() ?? -1;
  return uid === 0
    ? ok('root', 'uid 0')
    : fail(
        'root',
        `uid ${uid}`,
        'run as root: networks, pools and machines need it; for writing clients, gridnode up --simulate does without',
      );
}

export function checkNode(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  return major >= 24
    ? ok('node', process.versions.node)
    : fail('node', process.versions.node, 'start through ./gridnode, which brings Node 24');
}

const TOOLS: Readonly<Record<string, string>> = {
  'redis-server': 'redis-server',
  'redis-cli': 'redis-tools',
  'qemu-system-x86_64': 'qemu-system-x86',
  '/usr/lib/qemu/virtiofsd': 'qemu-system-common',
  'mkfs.btrfs': 'btrfs-progs',
  nft: 'nftables',
  ip: 'iproute2',
  'wireguard-go': 'wireguard-go',
  '/bin/busybox': 'busybox-static',
  losetup: 'mount',
  setpriv: 'util-linux',
  perl: 'perl-base',
};

async function isThere(tool: string): Promise<boolean> {
  const folders = (process.env.PATH ?? '').split(':');
  const places = tool.startsWith('/') ? [tool] : folders.map((folder) => `${folder}/${tool}`);
  for (const place of places) {
    const found = await access(place, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

export async function checkTools(): Promise<Finding> {
  const missing: string[] = [];
  for (const [tool, debian] of Object.entries(TOOLS)) if (!(await isThere(tool))) missing.push(debian);
  return missing.length === 0
    ? ok('tools', `${Object.keys(TOOLS).length} host programs`)
    : fail('tools', `missing ${missing.join(', ')}`, `apt-get install ${[...new Set(missing)].join(' ')}`);
}

/** A node runs without it, and says so where it is asked for its DMI table. */
export async function checkFirmware(): Promise<Finding> {
  return (await isThere('dmidecode'))
    ? ok('firmware', 'dmidecode reads its table')
    : warn('firmware', 'missing dmidecode: zos.system.dmi is refused', 'apt-get install dmidecode');
}

export async function checkFilesystems(): Promise<Finding> {
  const known = await readFile('/proc/filesystems', 'utf8');
  const missing = ['btrfs', 'overlay', 'tmpfs'].filter((name) => !new RegExp(`\\b${name}$`, 'm').test(known));
  if (missing.length === 0) return ok('file systems', 'btrfs, overlay, tmpfs');
  return fail(
    'file systems',
    `the kernel does not offer ${missing.join(', ')}`,
    `modprobe ${missing.join(' ')}, or boot a kernel that has them`,
  );
}

export async function checkDevices(): Promise<Finding> {
  const missing: string[] = [];
  for (const device of ['/dev/net/tun', '/dev/loop-control']) {
    await access(device, constants.R_OK | constants.W_OK).catch(() => missing.push(device));
  }
  return missing.length === 0
    ? ok('devices', '/dev/net/tun, /dev/loop-control')
    : fail('devices', `cannot open ${missing.join(', ')}`, 'modprobe tun loop; in a container pass the devices in');
}

/** Builds a bridge, a veth pair, a tap and a rule set in a namespace that ends with the command. */
export async function checkNetworking(): Promise<Finding> {
  const script = [
    'ip link add b0 type bridge',
    'ip link add v0 type veth peer name v1',
    'ip link set v0 master b0',
    'ip tuntap add t0 mode tap',
    'ip link set t0 master b0',
    'nft add table inet probe',
    `nft 'add chain inet probe post { type nat hook postrouting priority srcnat; }'`,
    'nft add rule inet probe post masquerade',
  ].join(' && ');
  return run('unshare', ['--net', 'sh', '-c', script], { deadlineMs: DEADLINE_MS }).then(
    () => ok('networking', 'namespace, bridge, veth, tap, nftables NAT'),
    (error: Error) => fail('networking', error.message, 'needs root and a kernel with bridge, veth, tun and nf_tables'),
  );
}

export async function checkWireguard(): Promise<Finding> {
  return run('unshare', ['--net', 'ip', 'link', 'add', 'w0', 'type', 'wireguard'], { deadlineMs: DEADLINE_MS }).then(
    () => ok('wireguard', 'in the kernel'),
    () => ok('wireguard', 'by wireguard-go (the kernel has none)'),
  );
}

export async function checkCgroups(): Promise<Finding> {
  const controllers = await readFile('/sys/fs/cgroup/cgroup.controllers', 'utf8').catch(() => '');
  const missing = ['cpu', 'memory'].filter((name) => !controllers.split(/\s+/).includes(name));
  return missing.length === 0
    ? ok('cgroups', 'version 2 with cpu and memory')
    : warn(
        'cgroups',
        `version 2 lacks ${missing.join(' and ')}`,
        'boot with systemd.unified_cgroup_hierarchy=1; machines run without limits until then',
      );
}

export function checkMemory(): Finding {
  const total = totalmem();
  const found = `${size(total)}, ${availableParallelism()} processors`;
  return total >= MEMORY_NEEDED
    ? ok('memory', found)
    : fail('memory', found, `a node keeps ${size(MEMORY_NEEDED)} for itself; this machine has less`);
}

/** Free space where the state folder is, or would be. */
/** Room for a new node, or for one that runs there. */
export async function checkDisk(state: string, runs: boolean): Promise<Finding> {
  let place = state;
  for (;;) {
    const stats = await statfs(place).catch(() => undefined);
    if (stats !== undefined) {
      const free = stats.bavail * stats.bsize;
      const found = `${size(free)} free at ${place}`;
      if (free >= (runs ? DISK_KEPT : DISK_NEEDED)) return ok('disk', found);
      return runs
        ? fail('disk', found, `make room, ${size(DISK_KEPT)} at least: on a full disk nothing new is accepted`)
        : fail('disk', found, `a pool file needs at least ${size(DISK_NEEDED)}: free some, or choose another --state`);
    }
    place = dirname(place);
  }
}

export async function checkPort(port: number, what: string): Promise<Finding> {
  const check = `port ${port}`;
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(
        warn(
          check,
          `${error.code}: the ${what} cannot listen`,
          `stop what listens on ${port} (ss -ltnp), or use: gridnode up --isolated`,
        ),
      );
    });
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(ok(check, `free for the ${what}`))));
  });
}
