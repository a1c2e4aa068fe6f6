/** Refusals and failures of storaged: pools, volumes, virtual disks. Numbers 4000 to 4199. */
import { z } from 'zod';
import { entry } from './table.ts';

const bytes = z.int();
const name = z.string();
const reason = z.string();

export const storageErrors = {
  storage_not_enough_space: entry({
    number: 4000,
    stage: 'storage',
    fault: 'caller',
    retryable: true,
    /** `free` is what the roomiest pool still takes, `largestPool` its size. */
    details: z.object({ type: z.string(), requested: bytes, free: bytes, largestPool: bytes, pools: z.int() }),
    // Existing clients know the part before the colon.
    message: (d) =>
      `not enough space left in pools of this type ${d.type}: requested ${d.requested} bytes, ` +
      `the roomiest of ${d.pools} pools takes ${d.free} of its ${d.largestPool} bytes`,
    remedy: 'ask for less space or choose another node',
  }),
  storage_invalid_name: entry({
    number: 4001,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ kind: z.enum(['volume', 'disk']), name, reason }),
    message: (d) =>
      d.kind === 'volume' ? `invalid volume name. ${d.reason}` : `invalid disk id: '${d.name}': ${d.reason}`,
  }),
  storage_invalid_size: entry({
    number: 4002,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name, requested: bytes, minimum: bytes }),
    message: (d) => `invalid size of '${d.name}': requested ${d.requested} bytes, the smallest is ${d.minimum} bytes`,
  }),
  storage_volume_not_found: entry({
    number: 4003,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name }),
    message: (d) => `subvolume '${d.name}' not found: file does not exist`,
  }),
  storage_disk_not_found: entry({
    number: 4004,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name }),
    message: (d) => `disk with id '${d.name}' does not exists: file does not exist`,
  }),
  storage_disk_exists: entry({
    number: 4005,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name, size: bytes, requested: bytes }),
    message: (d) =>
      `disk with id '${d.name}' already exists: file already exists with ${d.size} bytes, requested ${d.requested} bytes`,
  }),
  storage_shrink: entry({
    number: 4006,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    /** `size` is the disk's size, for a volume the bytes stored in it. */
    details: z.object({ kind: z.enum(['volume', 'disk']), name, size: bytes, requested: bytes }),
    message: (d) =>
      d.kind === 'disk'
        ? `not safe to shrink a disk: '${d.name}' has ${d.size} bytes, requested ${d.requested} bytes`
        : `cannot shrink volume '${d.name}' below its content: ${d.size} bytes stored, requested ${d.requested} bytes`,
  }),
  storage_image_refused: entry({
    number: 4007,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name, image: z.string(), reason }),
    message: (d) => `failed to write image '${d.image}' to disk '${d.name}': ${d.reason}`,
  }),
  storage_image_too_big: entry({
    number: 4008,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name, image: bytes, disk: bytes }),
    message: (d) => `image size is bigger than disk: image ${d.image} bytes, disk '${d.name}' ${d.disk} bytes`,
  }),
  storage_format_failed: entry({
    number: 4009,
    stage: 'storage',
    fault: 'node',
    retryable: false,
    details: z.object({ name, reason }),
    message: (d) => `failed to format disk '${d.name}': unknown btrfs error '${d.reason}'`,
  }),
  storage_no_free_device: entry({
    number: 4010,
    stage: 'storage',
    fault: 'caller',
    retryable: true,
    details: z.object({ requested: bytes, devices: z.int() }),
    message: (d) =>
      `no more free devices found: requested ${d.requested} bytes, none of ${d.devices} hdd pools is free and large enough`,
  }),
  storage_device_not_found: entry({
    number: 4011,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name }),
    message: (d) => `device not found: no hdd pool '${d.name}'`,
  }),
  storage_device_not_allocated: entry({
    number: 4012,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ name }),
    message: (d) => `device is not allocated: hdd pool '${d.name}' has no zdb volume`,
  }),
  storage_device_refused: entry({
    number: 4013,
    stage: 'storage',
    fault: 'operator',
    retryable: false,
    details: z.object({ path: z.string(), reason }),
    message: (d) => `device '${d.path}' is left alone: ${d.reason}`,
    remedy: 'name a blank device, or wipe this one yourself',
  }),
  storage_kind_unknown: entry({
    number: 4014,
    stage: 'storage',
    fault: 'caller',
    retryable: false,
    details: z.object({ kind: z.string() }),
    message: (d) => `kind ${d.kind} unknown`,
  }),
  storage_no_cache: entry({
    number: 4015,
    stage: 'storage',
    fault: 'operator',
    retryable: true,
    details: z.object({}),
    message: () => `subvolume 'zos-cache' not found: no pool had room for the cache volume`,
  }),
  storage_host_full: entry({
    number: 4016,
    stage: 'storage',
    fault: 'operator',
    retryable: true,
    details: z.object({ path: z.string(), requested: bytes, available: bytes }),
    message: (d) =>
      `a pool file of ${d.requested} bytes does not fit at '${d.path}': the host has ${d.available} bytes available there`,
    remedy: 'give a smaller --pool-size, free space on the host, or name a device',
  }),
  storage_pool_broken: entry({
    number: 4017,
    stage: 'storage',
    fault: 'operator',
    retryable: false,
    details: z.object({ pool: z.string(), reason }),
    message: (d) => `pool '${d.pool}' cannot be used: ${d.reason}`,
  }),
} as const;
