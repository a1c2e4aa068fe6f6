/**
 * What is known of an object beside what it says, seen by nobody else: copies, comparisons and
 * printing leave it out. A private field put on the object from outside, for with a `WeakMap` the
 * garbage collector took half of all time.
 */
class Itself {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: what makes the private field the object's
    return object;
  }
}

export class Memory<T> {
  readonly recall: (object: object) => T | undefined;
  readonly keep: (object: object, value: T) => void;

  constructor() {
    class Holder extends Itself {
      #value: T | undefined;

      static recall(object: object): T | undefined {
        return #value in object ? object.#value : undefined;
      }

      static keep(object: object, value: T): void {
        if (!(#value in object) && Object.isExtensible(object)) new Holder(object);
        if (#value in object) object.#value = value;
      }
    }
    this.recall = Holder.recall;
    this.keep = Holder.keep;
  }
}
