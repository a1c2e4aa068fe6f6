declare module 'snappyjs' {
  /** Raw snappy. Throws where the stream is invalid or would be longer than `maxLength`. */
  export function uncompress(compressed: Uint8Array, maxLength?: number): Uint8Array;
  export function compress(uncompressed: Uint8Array): Uint8Array;
}
