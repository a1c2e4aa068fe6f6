/**
 * A network namespace for a node that must not meet another on this machine:
 * names that the grid prescribes (bridges, namespaces, addresses) are then its
 * own. One veth pair joins it to the host.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../modules/host/run.ts';
import { CliError } from '../command.ts';
import type { Layout } from './layout.ts';

const DEADLINE_MS = 15_000;
const WIREGUARD_SOCKETS = '/run/wireguard';

export interface Link {
  readonly hostAddress: string;
  readonly address: string;
}

export const namespaceOf = (layout: Layout): string => `gn-${layout.id}`;
const hostEnd = (layout: Layout): string => `gn${layout.id}h`;

/** Makes the namespace and its link, or finds them as they are. */
export async function ensureNamespace(layout: Layout): Promise<Link> {
  const name = namespaceOf(layout);
  const end = hostEnd(layout);
  const present = JSON.parse((await run('ip', ['-j', 'addr'], { deadlineMs: DEADLINE_MS })).stdout) as {
    ifname: string;
    addr_info: { family: string; local: string }[];
  }[];
  const own = present.find((link) => link.ifname === end)?.addr_info.find((address) => address.family === 'inet');
  if (own !== undefined)
    return { hostAddress: own.local, address: own.local.replace(/\d+$/, (last) => `${Number(last) + 1}`) };
  const taken = new Set(present.flatMap((link) => link.addr_info.map((address) => address.local)));
  const link = freeLink(layout.id, taken);
  await run('ip', ['-batch', '-'], {
    deadlineMs: DEADLINE_MS,
    input: [
      `netns add ${name}`,
      `link add ${end} type veth peer name uplink netns ${name}`,
      `addr add ${link.hostAddress}/30 dev ${end}`,
      `link set ${end} up`,
      '',
    ].join('\n'),
  });
  await run('ip', ['-netns', name, '-batch', '-'], {
    deadlineMs: DEADLINE_MS,
    input: [
      'link set lo up',
      `addr add ${link.address}/30 dev uplink`,
      'link set uplink up',
      `route add default via ${link.hostAddress}`,
      '',
    ].join('\n'),
  });
  return link;
}

/** One of 16,384 /30 networks of 10.213.0.0/16, beginning at the node's own place. */
function freeLink(id: string, taken: ReadonlySet<string>): Link {
  const first = Number.parseInt(id, 16) % 16_384;
  for (let step = 0; step < 64; step++) {
    const base = ((first + step) % 16_384) * 4;
    const prefix = `10.213.${base >> 8}.`;
    const link = { hostAddress: `${prefix}${(base & 255) + 1}`, address: `${prefix}${(base & 255) + 2}` };
    if (!taken.has(link.hostAddress)) return link;
  }
  throw new CliError('no free network among 64 tried in 10.213.0.0/16 for the link to the node');
}

/** Removes the namespace and the link; what is not there is not missed. */
export async function removeNamespace(layout: Layout): Promise<void> {
  await run('ip', ['-force', '-batch', '-'], {
    deadlineMs: DEADLINE_MS,
    ownSession: true,
    input: `link del ${hostEnd(layout)}\nnetns del ${namespaceOf(layout)}\n`,
  }).catch(() => undefined);
}

/**
 * A process that lives in the node's mount namespace. After a killed supervisor
 * there may be some, at the least its machines.
 */
function survivorOf(layout: Layout): string | undefined {
  const { ino } = statSync(join('/run/netns', namespaceOf(layout)));
  return readdirSync('/proc').find((pid) => {
    try {
      if (!/^\d+$/.test(pid) || readlinkSync(`/proc/${pid}/ns/net`) !== `net:[${ino}]`) return false;
      // A person's shell in the network namespace does not have this mount.
      return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(` ${WIREGUARD_SOCKETS} `);
    } catch {
      // It ended meanwhile.
      return false;
    }
  });
}

/**
 * Command words that run a program inside the node's namespaces. The mount
 * namespace is private: named namespaces and pool mounts of the node are seen
 * by the node alone and vanish with its last process. What still runs there is
 * joined: networks and images of its machines could not be made a second time.
 */
export function enterWords(layout: Layout): string[] {
  const survivor = survivorOf(layout);
  if (survivor !== undefined) return ['nsenter', '--target', survivor, '--net', '--mount', '--root'];
  const prepare = [
    'mount -t tmpfs -o mode=0755 tmpfs /run/netns',
    // wireguard-go keeps its control sockets here whatever namespace it is in.
    `mkdir -p ${WIREGUARD_SOCKETS} && mount -t tmpfs -o mode=0700 tmpfs ${WIREGUARD_SOCKETS}`,
    // A new sysfs shows this namespace's interfaces; the cgroup tree moves over to it.
    'mkdir -p "$0/run/cgroup"',
    'mount --rbind /sys/fs/cgroup "$0/run/cgroup"',
    'mount -t sysfs sysfs /sys',
    'mount --rbind "$0/run/cgroup" /sys/fs/cgroup',
    'umount -l "$0/run/cgroup"',
    'exec "$@"',
  ].join(' && ');
  return [
    'nsenter',
    `--net=/run/netns/${namespaceOf(layout)}`,
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    prepare,
    layout.state,
  ];
}
