/** What the process that unpacks a flist says, one JSON object a line. */
import { z } from 'zod';

const count = z.int().nonnegative();

/** The flist was read and checked; nothing is written before `GO` comes back. */
const read = z.object({
  kind: z.literal('read'),
  /** Bytes of all files together. */
  bytes: count,
  /** Bytes that the tree takes on the host. */
  treeBytes: count,
  entries: count,
});

const unpacked = z.object({
  kind: z.literal('unpacked'),
  /** Devices, fifos and sockets of the flist: never made on the host. */
  skipped: count,
});

/** With code and details where it is an error of the table. */
const failed = z.object({
  kind: z.literal('failed'),
  code: z.string().optional(),
  details: z.unknown().optional(),
  text: z.string(),
});

export const UnpackReport = z.discriminatedUnion('kind', [read, unpacked, failed]);
export type UnpackReport = z.infer<typeof UnpackReport>;
export type FlistRead = z.infer<typeof read>;

export const GO = 'go\n';
