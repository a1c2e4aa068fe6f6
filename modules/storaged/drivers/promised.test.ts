import fc from 'fast-check';
import { expect, it } from 'vitest';
import { PromisedBytes } from './promised.ts';

it('knows the sum of what is promised by each name, whatever was changed, forgotten and begun anew', () => {
  const name = fc.constantFrom('a', 'b', 'c', '__proto__');
  const bytes = fc.nat(2 ** 40);
  const change = fc.oneof(
    fc.record({ name, bytes: fc.option(bytes, { nil: undefined }) }),
    fc.array(fc.tuple(name, bytes), { maxLength: 4 }),
  );
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const promised = new PromisedBytes();
      let known = new Map<string, number>();
      for (const one of changes) {
        if (Array.isArray(one)) {
          promised.replace(one);
          known = new Map(one);
        } else {
          promised.set(one.name, one.bytes);
          if (one.bytes === undefined) known.delete(one.name);
          else known.set(one.name, one.bytes);
        }
        expect(promised.sum).toBe([...known.values()].reduce((sum, all) => sum + all, 0));
      }
    }),
    { endOnFailure: true },
  );
});
