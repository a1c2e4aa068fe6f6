/** The flist format, version 2: packing, reading, blocks. */
export { BLOCK_BYTES, BlockError, decodeBlock, type EncodedBlock, encodeBlock } from './block.ts';
export { DEFAULT_LIMITS, type ReadLimits } from './limits.ts';
export { type PackOptions, type PackResult, packFlist } from './pack.ts';
export { readFlist } from './read.ts';
export type { EntryKind, Flist, FlistEntry, Route } from './tree.ts';
export { writeFlist } from './write.ts';
