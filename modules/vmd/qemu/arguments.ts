/** From a machine's configuration to QEMU's argument vector. Pure. */
import type { MachineConfig } from '../config.ts';

const MIB = 1024 * 1024;
/** Translated guest code that software emulation keeps; unbounded it takes a gigabyte. */
const TRANSLATION_BUFFER_MIB = 256;
/** Tag of the share that is a container guest's root, from the grid's contract with its images. */
const ROOT_TAG = 'vroot';

export interface QemuPlan {
  readonly config: MachineConfig;
  readonly accelerator: 'kvm' | 'tcg';
  /** Path of the seed disk. */
  readonly seed: string;
  /** Control socket. */
  readonly control: string;
  /** Two named pipes, `<console>.in` and `<console>.out`. */
  readonly console: string;
  /** Sockets of the share servers in the order of `sharesOf`. */
  readonly shareSockets: readonly string[];
  /** Disks that can be opened without the host's page cache. */
  readonly uncached: ReadonlySet<string>;
  /** User and group that QEMU becomes once everything is open. */
  readonly user?: number;
  /** Starts with the processors stopped. */
  readonly paused: boolean;
}

/** The machine's shares, its root last. */
export function sharesOf({ shares, boot }: MachineConfig): { readonly tag: string; readonly path: string }[] {
  const own = shares.map(({ tag, path }) => ({ tag, path }));
  return boot.type === 'virtiofs' ? [...own, { tag: ROOT_TAG, path: boot.path }] : own;
}

/** Disks in the order the guest sees them, the seed not among them. */
export function disksOf({ disks, boot }: MachineConfig): string[] {
  const own = disks.map(({ path }) => path);
  return boot.type === 'disk' ? [boot.path, ...own] : own;
}

/** Arguments without the program's name. */
export function qemuArguments(plan: QemuPlan): string[] {
  const { config } = plan;
  const memoryMib = Math.floor(config.memoryBytes / MIB);
  return [
    ['-name', `guest=${value(config.name)}`],
    ['-nodefaults'],
    ['-no-user-config'],
    ['-display', 'none'],
    ['-no-reboot'],
    ...(plan.paused ? [['-S']] : []),
    ['-sandbox', sandbox(plan.user)],
    ...(plan.user === undefined ? [] : [['-runas', `${plan.user}:${plan.user}`]]),
    ...(plan.accelerator === 'kvm'
      ? [
          ['-accel', 'kvm'],
          ['-cpu', 'host'],
        ]
      : [
          ['-accel', `tcg,thread=multi,tb-size=${TRANSLATION_BUFFER_MIB}`],
          ['-cpu', 'max'],
        ]),
    ['-smp', String(config.cpus)],
    ['-m', `${memoryMib}M`],
    ['-object', `memory-backend-memfd,id=memory,size=${memoryMib}M,share=on`],
    ['-machine', 'q35,memory-backend=memory'],
    ['-kernel', config.kernel],
    ...(config.initrd === '' ? [] : [['-initrd', config.initrd]]),
    ['-append', kernelCommandLine(config)],
    ...sharesOf(config).flatMap(({ tag }, index) => share(tag, plan.shareSockets[index] ?? '', index)),
    ...disksOf(config).flatMap((path, index) => disk(path, index, plan.uncached.has(path))),
    ...seedDisk(plan.seed),
    ...config.interfaces.flatMap(({ tap, mac }, index) => networkDevice(tap, mac, index)),
    ...config.devices.map((slot) => ['-device', `vfio-pci,host=${slot}`]),
    ['-chardev', `pipe,id=console,path=${value(plan.console)}`],
    ['-serial', 'chardev:console'],
    ['-chardev', `socket,id=control,path=${value(plan.control)},server=on,wait=off`],
    ['-mon', 'chardev=control,mode=control'],
  ].flat();
}

/** QEMU doubles the commas inside an option's value. */
function value(text: string): string {
  return text.replaceAll(',', ',,');
}

/**
 * QEMU changes its user itself after opening what needs rights, so that call
 * stays allowed; the launcher has set no-new-privileges by then.
 */
function sandbox(user: number | undefined): string {
  const elevate = user === undefined ? 'deny' : 'allow';
  return `on,obsolete=deny,elevateprivileges=${elevate},spawn=deny,resourcecontrol=deny`;
}

function share(tag: string, socket: string, index: number): string[][] {
  return [
    ['-chardev', `socket,id=share${index},path=${value(socket)}`],
    ['-device', `vhost-user-fs-pci,chardev=share${index},tag=${value(tag)},queue-size=1024`],
  ];
}

function disk(path: string, index: number, uncached: boolean): string[][] {
  const cache = uncached ? 'cache=none,aio=threads' : 'cache=writeback';
  return [
    ['-drive', `if=none,id=disk${index},format=raw,discard=unmap,${cache},file=${value(path)}`],
    ['-device', `virtio-blk-pci,drive=disk${index}`],
  ];
}

function seedDisk(path: string): string[][] {
  return [
    ['-drive', `if=none,id=seed,format=raw,readonly=on,file=${value(path)}`],
    ['-device', 'virtio-blk-pci,drive=seed'],
  ];
}

function networkDevice(tap: string, mac: string, index: number): string[][] {
  return [
    ['-netdev', `tap,id=net${index},ifname=${value(tap)},script=no,downscript=no,vhost=off`],
    // No boot from the network, so no option ROM either.
    ['-device', `virtio-net-pci,netdev=net${index},mac=${mac},romfile=`],
  ];
}

const DEFAULT_KERNEL_ARGS: Readonly<Record<string, string>> = {
  rw: '',
  console: 'ttyS0',
  reboot: 'k',
  panic: '1',
  root: '/dev/vda',
  'boot.shell_on_fail': '',
};
const CONTAINER_KERNEL_ARGS: Readonly<Record<string, string>> = {
  root: ROOT_TAG,
  rootfstype: 'virtiofs',
  rootdelay: '30',
};

/** The defaults win over equal keys of the deployment, as on the grid. */
function kernelCommandLine({ kernelArgs, boot }: MachineConfig): string {
  const merged = {
    ...kernelArgs,
    ...DEFAULT_KERNEL_ARGS,
    ...(boot.type === 'virtiofs' ? CONTAINER_KERNEL_ARGS : {}),
  };
  return Object.entries(merged)
    .map(([key, text]) => (text === '' ? key : `${key}=${/\s/.test(text) ? `"${text}"` : text}`))
    .join(' ');
}
