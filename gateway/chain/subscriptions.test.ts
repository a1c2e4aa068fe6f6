import { expect, it } from 'vitest';
import { Subscriptions } from './subscriptions.ts';

/** Subscriptions of which one is asked for, what was heard of it, and what answers with its id. */
function asking() {
  const subscriptions = new Subscriptions();
  const heard: unknown[] = [];
  const { promise: answer, resolve } = Promise.withResolvers<unknown>();
  const callback = (_error: Error | null, value: unknown): unknown => heard.push(value);
  const wish = { type: 'chain_newHead', method: 'chain_subscribeNewHeads', params: [], callback };
  const opened = subscriptions.open(wish, () => answer);
  const hear = (subscription: string, result: unknown): void =>
    subscriptions.hear({ method: 'chain_newHead', subscription, result });
  return { heard, hear, opened, answer: () => resolve('new') };
}

it('what comes before the id of a subscription is known is told first', async () => {
  const { heard, hear, opened, answer } = asking();
  hear('new', 1);
  answer();
  await opened;
  hear('new', 2);
  await expect.poll(() => heard).toEqual([1, 2]);
  hear('new', 3);
  expect(heard).toEqual([1, 2, 3]);
});

it('what comes of subscriptions that nobody wants any more takes no place for ever', async () => {
  const { heard, hear, opened, answer } = asking();
  for (let number = 0; number < 1_000; number += 1) hear('old', number);
  hear('new', 1);
  answer();
  await opened;
  await expect.poll(() => heard).toEqual([1]);
});
