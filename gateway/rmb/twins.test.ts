import { expect, it } from 'vitest';
import { TwinCache, type TwinRecord } from './twins.ts';

const record = (fill: number): TwinRecord => ({
  id: 7,
  account: new Uint8Array(32).fill(fill),
  relay: ['relay.example'],
  encryptionKey: null,
});

/** A chain whose answers come when the test says so. */
class SlowChain {
  readonly asked: ((twin: TwinRecord | undefined) => void)[] = [];

  twin(): Promise<TwinRecord | undefined> {
    return new Promise((resolve) => this.asked.push(resolve));
  }
}

it.each([
  ['one twin', (cache: TwinCache) => cache.forget(7)],
  ['every twin', (cache: TwinCache) => cache.forgetAll()],
])('a lookup that began before %s was forgotten is not remembered', async (_what, forget) => {
  const chain = new SlowChain();
  const cache = new TwinCache(chain);
  const before = cache.twin(7);
  forget(cache);
  const after = cache.twin(7);
  expect(chain.asked).toHaveLength(2);
  chain.asked[1]?.(record(2));
  expect(await after).toEqual(record(2));
  chain.asked[0]?.(record(1));
  expect(await before).toEqual(record(1));
  expect(await cache.twin(7)).toEqual(record(2));
  expect(chain.asked).toHaveLength(2);
});

it('what is known and what is missing is asked for anew after it was forgotten', async () => {
  const chain = new SlowChain();
  const cache = new TwinCache(chain);
  for (const answer of [record(1), undefined, record(3)]) {
    const asked = cache.twin(7);
    chain.asked.at(-1)?.(answer);
    expect(await asked).toEqual(answer);
    expect(await cache.twin(7)).toEqual(answer);
    cache.forgetAll();
  }
  expect(chain.asked).toHaveLength(3);
});
