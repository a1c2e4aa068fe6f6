/** Where vmd keeps what belongs to a machine, and what it calls kernel-wide things. */
import { createHash, randomInt } from 'node:crypto';
import { join, resolve } from 'node:path';
import { GridError } from '../../schemas/errors/index.ts';

/** Bytes of a unix socket's path in the kernel's address structure, without the end. */
const SOCKET_PATH_LIMIT = 107;

/** A tenant chooses names: it must be beyond them to find one whose folder and control group are another machine's. */
const ID_DIGITS = 20;

const digest = (text: string, length: number): string =>
  createHash('sha256').update(text).digest('hex').slice(0, length);

export interface MachinePaths {
  /** Short name for folders and control groups. */
  readonly id: string;
  /** Sockets, pipes and the seed; lives as long as the machine's processes. */
  readonly runtime: string;
  readonly seed: string;
  readonly control: string;
  readonly console: string;
  readonly shareSocket: (index: number) => string;
  /** Configuration and process identities, 0600. */
  readonly record: string;
  readonly consoleLog: string;
  /** What QEMU and the share servers print. */
  readonly processLog: string;
}

export class Paths {
  readonly state: string;
  readonly root: string;
  /** Of the whole host, whoever starts share servers. */
  readonly shareLockFolder = '/var/run/virtiofsd';
  /** Name of the folder of control groups; differs between state folders. */
  readonly group: string;

  /** `state` is the node's folder, vmd's own is `<state>/vmd`. */
  constructor(state: string) {
    this.state = resolve(state);
    this.root = join(this.state, 'vmd');
    this.group = `gridnode-vm-${digest(this.state, 8)}`;
  }

  get records(): string {
    return join(this.root, 'vms');
  }

  get logs(): string {
    return join(this.root, 'logs');
  }

  get runtimes(): string {
    return join(this.state, 'run', 'vm');
  }

  /** Short name of a machine. */
  idOf(name: string): string {
    return digest(name, ID_DIGITS);
  }

  /** Throws `machine_path_too_long`. */
  of(name: string): MachinePaths {
    const id = this.idOf(name);
    const runtime = join(this.runtimes, id);
    const socket = (file: string): string => {
      const path = join(runtime, file);
      const lengthBytes = Buffer.byteLength(path);
      if (lengthBytes <= SOCKET_PATH_LIMIT) return path;
      throw new GridError('machine_path_too_long', { path, lengthBytes, limitBytes: SOCKET_PATH_LIMIT });
    };
    return {
      id,
      runtime,
      seed: join(runtime, 'seed.img'),
      control: socket('qmp'),
      console: join(runtime, 'con'),
      shareSocket: (index) => socket(`fs${index}`),
      record: join(this.records, `${name}.json`),
      consoleLog: join(this.logs, name),
      processLog: join(this.logs, `${name}.processes`),
    };
  }

  /** Where the share server keeps a lock file of its own for a socket. */
  shareLock(socket: string): string {
    return join(this.shareLockFolder, `${socket.replaceAll('/', '.')}.pid`);
  }
}

/**
 * A user for each start of a machine, from the range that distributions leave
 * unused, so one machine's QEMU has no rights over another's. Drawn and not
 * made from the name, which its owner could choose until two are the same.
 */
export function machineUser(): number {
  return 0x7000_0000 + randomInt(0x0fff_ffff);
}
