import { describe, expect, it } from 'vitest';
import { Places, type Release } from './places.ts';

/** Takes places in the order of `owners` and says who was served, in order. */
function served(places: Places, owners: readonly number[]): { readonly order: number[]; readonly releases: Release[] } {
  const order: number[] = [];
  const releases: Release[] = [];
  for (const owner of owners) {
    places.queue(owner, (release) => {
      order.push(owner);
      releases.push(release);
    });
  }
  return { order, releases };
}

describe('places', () => {
  it('are given in turns between owners, however many of one wait', () => {
    const { order, releases } = served(new Places(1), [1, 1, 1, 1, 2, 3, 3]);
    for (let at = 0; at < releases.length; at++) releases[at]?.();
    expect(order).toEqual([1, 1, 2, 3, 1, 3, 1]);
  });

  it('are never more than there are, nor more of one owner than it may have', () => {
    const places = new Places(4, 3);
    const { order, releases } = served(places, [1, 1, 1, 1, 1, 2, 2]);
    expect(order).toEqual([1, 1, 1, 2]);
    expect(places).toMatchObject({ taken: 4, queued: 3 });
    releases[3]?.();
    expect(order).toEqual([1, 1, 1, 2, 2]);
    releases[0]?.();
    releases[0]?.();
    expect(order).toEqual([1, 1, 1, 2, 2, 1]);
    expect(places).toMatchObject({ taken: 4, queued: 1 });
  });

  it('go to nobody who gave up waiting', async () => {
    const places = new Places(1);
    const release = await places.take(new AbortController().signal, 1);
    const given = new AbortController();
    const late = places.take(given.signal, 1);
    given.abort(new Error('given up'));
    await expect(late).rejects.toThrow('given up');
    await expect(places.take(given.signal, 1)).rejects.toThrow('given up');
    expect(places.queued).toBe(0);
    release();
    expect(places.taken).toBe(0);
  });

  it('are held back until all who hold them let go', () => {
    const places = new Places(2);
    const [first, second] = [places.hold(), places.hold()];
    const { order } = served(places, [1, 2]);
    first();
    first();
    expect(order).toEqual([]);
    second();
    expect(order).toEqual([1, 2]);
  });

  it('say in which order those who wait are served', () => {
    const places = new Places(1);
    const releases: Release[] = [];
    const order: string[] = [];
    const wait = (owner: number, key: string): void => {
      places.queue(
        owner,
        (release) => {
          order.push(key);
          releases.push(release);
        },
        key,
      );
    };
    for (const key of ['a1', 'a2', 'a3']) wait(1, key);
    wait(2, 'b1');
    wait(3, 'c1');
    const foretold = [...places.order()];
    for (let at = 0; at < releases.length; at++) releases[at]?.();
    expect(order).toEqual(['a1', ...foretold]);
  });

  it('serve ten thousand who wait in no time that grows with them', () => {
    const places = new Places(1);
    const { order, releases } = served(
      places,
      Array.from({ length: 10_000 }, (_, at) => at % 5_000),
    );
    const began = process.cpuUsage();
    for (let at = 0; at < releases.length; at++) releases[at]?.();
    expect(order).toHaveLength(10_000);
    const { user, system } = process.cpuUsage(began);
    expect(user + system).toBeLessThan(2_000_000);
  });
});
