/** Values to bytes and back, driven by wire types: the whole of it in one import. */
export { decode, decodeFrom } from './decode.ts';
export { encode, encodeInto } from './encode.ts';
export { ZERO_TIME } from './gotime.ts';
export { Typed } from './typed.ts';
export { zero, zeroOf } from './zero.ts';
