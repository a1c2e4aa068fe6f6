/** Refusals and failures of virtual machines. Numbers 6000 to 6099. */
import { z } from 'zod';
import { entry } from './table.ts';

const bytes = z.int().nonnegative();
const name = z.string();

export const machineErrors = {
  machine_invalid: entry({
    number: 6000,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ field: z.string(), reason: z.string() }),
    // Existing clients match on these sentences, so nothing is put around them.
    message: (d) => d.reason,
  }),
  machine_exists: entry({
    number: 6001,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ name }),
    message: () => 'a vm with same name already exists',
  }),
  machine_unknown: entry({
    number: 6002,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ name }),
    message: (d) => `no virtual machine '${d.name}' runs on this node`,
  }),
  machine_start_failed: entry({
    number: 6003,
    stage: 'machine',
    fault: 'node',
    retryable: true,
    /** `console`: what the guest itself wrote last. */
    details: z.object({ name, reason: z.string(), console: z.string() }),
    message: (d) =>
      `the virtual machine '${d.name}' did not start: ${d.reason}${d.console === '' ? '' : `; end of its console: ${d.console}`}`,
  }),
  machine_boot_unsupported: entry({
    number: 6004,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ name, boot: z.string() }),
    message: (d) => `the virtual machine '${d.name}' asks to boot ${d.boot}, which this node does not offer`,
    remedy: 'use an image that boots in container mode (a root file system, no disk image)',
  }),
  machine_tool_missing: entry({
    number: 6005,
    stage: 'machine',
    fault: 'operator',
    retryable: false,
    details: z.object({ tool: z.string(), package: z.string() }),
    message: (d) => `${d.tool} is not on this host; install the Debian package ${d.package}`,
  }),
  machine_guest_unavailable: entry({
    number: 6006,
    stage: 'machine',
    fault: 'operator',
    retryable: true,
    details: z.object({ reason: z.string(), folder: z.string() }),
    message: (d) => `the guest kernel is not in ${d.folder} and cannot be made: ${d.reason}`,
    remedy:
      'give the host access to its Debian mirror and run apt-get update, or put a linux-image-*-cloud-*.deb into that folder',
  }),
  machine_device_in_use: entry({
    number: 6007,
    stage: 'machine',
    fault: 'caller',
    retryable: true,
    details: z.object({ device: z.string(), owner: name }),
    message: (d) => `device '${d.device}' is already used by another workload`,
  }),
  machine_stream_unsupported: entry({
    number: 6008,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ name, id: z.string() }),
    message: (d) => `the log stream '${d.id}' of '${d.name}' is refused: this node does not offer log streams`,
    remedy: 'read the log of the machine instead',
  }),
  machine_path_too_long: entry({
    number: 6009,
    stage: 'machine',
    fault: 'operator',
    retryable: false,
    details: z.object({ path: z.string(), lengthBytes: bytes, limitBytes: bytes }),
    message: (d) => `the socket path ${d.path} has ${d.lengthBytes} bytes, the kernel takes ${d.limitBytes}`,
    remedy: 'choose a state folder with a shorter path',
  }),
  machine_seed_full: entry({
    number: 6010,
    stage: 'machine',
    fault: 'caller',
    retryable: false,
    details: z.object({ name, neededBytes: bytes, availableBytes: bytes }),
    message: (d) =>
      `environment, keys and entrypoint of '${d.name}' need ${d.neededBytes} bytes, the seed disk holds ${d.availableBytes}`,
    remedy: 'put large values into a file of the image',
  }),
  machine_control_failed: entry({
    number: 6011,
    stage: 'machine',
    fault: 'node',
    retryable: true,
    details: z.object({ command: z.string(), reason: z.string() }),
    message: (d) => `the machine's control command ${d.command} failed: ${d.reason}`,
  }),
  machine_resource_missing: entry({
    number: 6012,
    stage: 'machine',
    fault: 'caller',
    retryable: true,
    details: z.object({ name, kind: z.string(), path: z.string(), reason: z.string() }),
    // A tenant reads the sentence, so the host's path is in the details alone.
    message: (d) => `the ${d.kind} of '${d.name}' cannot be used: ${d.reason}`,
  }),
  machine_stop_failed: entry({
    number: 6013,
    stage: 'machine',
    fault: 'node',
    retryable: true,
    details: z.object({ name, pid: z.int(), waitedMs: z.int() }),
    message: (d) => `process ${d.pid} of '${d.name}' did not end within ${d.waitedMs} ms of being killed`,
  }),
} as const;
