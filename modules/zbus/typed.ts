import type { Wire } from './wire.ts';

/** A value inside `any` that keeps the Go type it has on the wire. */
export class Typed {
  readonly wire: Wire;
  readonly value: unknown;

  constructor(wire: Wire, value: unknown) {
    this.wire = wire;
    this.value = value;
  }
}
