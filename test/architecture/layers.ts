/** Which room may import which: the rule the layers test enforces. */

export interface Room {
  /** Folder prefix; the longest matching room owns a file. */
  readonly folder: string;
  /** Rooms it may import whole. */
  readonly rooms: readonly string[];
  /** Single files of other rooms, as patterns of the path from the top. */
  readonly files?: readonly RegExp[];
}

const interfaces = /^(modules\/[a-z-]+|provision)\/interface\.ts$/;

const daemon = (name: string, extra: readonly string[] = []): Room => ({
  folder: `modules/${name}`,
  rooms: ['modules/zbus', 'schemas', 'modules/host', ...extra],
  files: [interfaces],
});

export const rooms: readonly Room[] = [
  { folder: 'schemas', rooms: [] },
  { folder: 'modules/zbus', rooms: [] },
  { folder: 'modules/zinit', rooms: [] },
  { folder: 'modules/host', rooms: [] },
  { folder: 'modules/wireguard', rooms: ['modules/host'] },
  daemon('storaged'),
  daemon('networkd', ['modules/wireguard']),
  daemon('flistd'),
  daemon('vmd'),
  daemon('noded'),
  daemon('identityd'),
  daemon('api-gateway'),
  ...['netlight', 'gateway', 'registrar', 'container', 'qsfsd', 'zui'].map((name) => daemon(name)),
  { folder: 'provision', rooms: ['modules/zbus', 'schemas', 'modules/host'], files: [interfaces] },
  {
    folder: 'gateway',
    rooms: ['modules/zbus', 'schemas', 'modules/host'],
    files: [interfaces, /^provision\/wire\.ts$/],
  },
  {
    folder: 'cli',
    rooms: ['schemas', 'modules/zinit', 'modules/host', 'modules/wireguard', 'modules/zbus'],
    files: [
      interfaces,
      /^gateway\/rmb\/index\.ts$/,
      /^gateway\/chain\/(client|own-node)\.ts$/,
      /^gateway\/door\/limits-file\.ts$/,
      /^gateway\/local\/options\.ts$/,
      /^modules\/flistd\/format\//,
      /^modules\/noded\/location\.ts$/,
      /^modules\/noded\/perf\/peer\.ts$/,
      /^modules\/vmd\/guest\/build\.ts$/,
      /^modules\/vmd\/qemu\/kvm\.ts$/,
    ],
  },
  // Composes a whole node over the daemons' simulated drivers; only tests and benches import it.
  { folder: 'simulation', rooms: ['schemas', 'modules', 'provision', 'gateway'] },
  { folder: 'examples', rooms: ['schemas'], files: [/^gateway\/rmb\/index\.ts$/, /^gateway\/chain\/client\.ts$/] },
  { folder: 'test', rooms: ['schemas', 'modules', 'provision', 'gateway', 'cli', 'examples', 'simulation'] },
];
