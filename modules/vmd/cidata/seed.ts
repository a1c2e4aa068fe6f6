/** From a machine's configuration to its seed disk. */
import { GridError } from '../../../schemas/errors/index.ts';
import type { MachineConfig } from '../config.ts';
import { type SeedInterface, type SeedMount, seedDocuments } from './documents.ts';
import { FatFullError, writeFat } from './fat.ts';

/** Size of the seed disk, from the grid's contract with its images. */
const SEED_BYTES = 2 * 1024 * 1024;
const SEED_LABEL = 'cidata';

/** The image of the disk labelled `cidata`. Throws `machine_seed_full`. */
export function seedImage(config: MachineConfig): Buffer {
  const documents = seedDocuments({
    name: config.name,
    hostname: config.hostname,
    interfaces: seedInterfaces(config.interfaces),
    nameservers: config.nameservers,
    mounts: seedMounts(config),
    sshKeys: config.environment.SSH_KEY,
    environment: new Map(Object.entries(config.environment)),
    entrypoint: config.entrypoint,
  });
  const files = [...documents].map(([name, text]) => ({ name, data: Buffer.from(text, 'utf8') }));
  try {
    return writeFat({ label: SEED_LABEL, sizeBytes: SEED_BYTES, files });
  } catch (error) {
    if (!(error instanceof FatFullError)) throw error;
    const { neededBytes, availableBytes } = error;
    throw new GridError('machine_seed_full', { name: config.name, neededBytes, availableBytes }, { cause: error });
  }
}

/** A public interface takes the default route of its family from all others. */
function seedInterfaces(interfaces: MachineConfig['interfaces']): SeedInterface[] {
  const public4 = interfaces.some((device) => device.publicIPv4);
  const public6 = interfaces.some((device) => device.publicIPv6);
  return interfaces.map(({ mac, addresses, routes, gateway4, gateway6, publicIPv4, publicIPv6 }) => ({
    mac,
    addresses,
    routes,
    ...(gateway4 === undefined || (public4 && !publicIPv4) ? {} : { gateway4 }),
    ...(gateway6 === undefined || (public6 && !publicIPv6) ? {} : { gateway6 }),
  }));
}

/** Disks are `/dev/vda`, `/dev/vdb`… in their order; only container guests mount for themselves. */
function seedMounts({ boot, disks, shares }: MachineConfig): SeedMount[] {
  if (boot.type !== 'virtiofs') return [];
  const ofDisks = disks.map(({ target }, index) => ({ source: diskDevice(index), target, type: 'auto' }));
  const ofShares = shares.map(({ tag, target }) => ({ source: tag, target, type: 'virtiofs' }));
  return [...ofDisks, ...ofShares].filter(({ target }) => target !== '');
}

/** Name of the disk at this place; there are fewer than 26. */
function diskDevice(index: number): string {
  return `/dev/vd${String.fromCharCode('a'.charCodeAt(0) + index)}`;
}
