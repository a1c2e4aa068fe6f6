/** What is used of WebAssembly: Node's types name none of it. */

export interface Memory {
  readonly buffer: ArrayBuffer;
}

interface WebAssemblyParts {
  /** `initial`: pages of 64 KiB. */
  readonly Memory: new (size: {
    readonly initial: number;
  }) => Memory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly env: { readonly memory: Memory } },
  ) => { readonly exports: object };
}

export const { Memory, Module, Instance } = (globalThis as unknown as { readonly WebAssembly: WebAssemblyParts })
  .WebAssembly;
