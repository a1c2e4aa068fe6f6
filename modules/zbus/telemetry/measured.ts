/** Measures calls of an object by their methods' names, without a word in the object. */

/** Runs a call; `run` may be put inside of something else, and its result is to be returned. */
export type Around = <T>(operation: string, run: () => T, args: readonly unknown[]) => T;

type Methods = Record<string, (...args: unknown[]) => unknown>;

/**
 * An object like the one given, whose methods are run by `around` where `isMeasured` says so. Its own calls of itself
 * are not measured. Made once, so that a call costs no look-up more.
 */
export function measured<T extends object>(target: T, around: Around, isMeasured: (name: string) => boolean): T {
  const methods = target as Methods;
  const seen: PropertyDescriptorMap = {};
  for (const [name, { value }] of membersOf(target)) {
    if (typeof value !== 'function') {
      seen[name] = {
        get: () => (target as Record<string, unknown>)[name],
        set: (next: unknown) => {
          (target as Record<string, unknown>)[name] = next;
        },
        enumerable: true,
      };
    } else if (isMeasured(name)) {
      seen[name] = {
        value: (...args: unknown[]) => around(name, () => methods[name]?.(...args), args),
        enumerable: true,
      };
    } else {
      seen[name] = { value: (...args: unknown[]) => methods[name]?.(...args), enumerable: true };
    }
  }
  return Object.create(Object.getPrototypeOf(target) as object, seen) as T;
}

function membersOf(target: object): Map<string, PropertyDescriptor> {
  const members = new Map<string, PropertyDescriptor>();
  for (let at: object | null = target; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (name !== 'constructor' && !members.has(name)) members.set(name, descriptor);
    }
  }
  return members;
}
