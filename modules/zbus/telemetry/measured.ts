/** Measures every call of an object by its method's name, without a word in the object. */

/** Runs a call; `run` may be put inside of something else. */
export type Around = <T>(operation: string, run: () => T) => T;

type Methods = Record<string, (...args: unknown[]) => unknown>;

/**
 * An object like the one given, whose methods are measured: `around` runs each of them. Its own calls of itself are
 * not measured, nor are values and the methods that `skip` names. Made once, so that a call costs no look-up more.
 */
export function measured<T extends object>(target: T, around: Around, skip: ReadonlySet<string> = new Set()): T {
  const seen: PropertyDescriptorMap = {};
  for (const [name, descriptor] of membersOf(target)) {
    const isMethod = typeof descriptor.value === 'function';
    if (!isMethod || skip.has(name)) {
      seen[name] = {
        get: () => boundTo(target, (target as Record<string, unknown>)[name]),
        set: (value: unknown) => {
          (target as Record<string, unknown>)[name] = value;
        },
        enumerable: true,
      };
      continue;
    }
    seen[name] = {
      value: (...args: unknown[]) => around(name, () => (target as Methods)[name]?.(...args)),
      enumerable: true,
    };
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

function boundTo(target: object, value: unknown): unknown {
  return typeof value === 'function' ? value.bind(target) : value;
}
