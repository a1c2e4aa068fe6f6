import { expect, it } from 'vitest';
import { HeldMail } from './held.ts';
import { SentWindow, WindowBudget } from './window.ts';

const KIB = 1024;

it('a twin whose sessions prove nothing takes room from no other', () => {
  const budget = new WindowBudget(1024 * KIB);
  const mute = Array.from({ length: 10 }, () => new SentWindow(7, budget));
  let sent = 0;
  for (const window of mute)
    while (window.hasRoomFor(64 * KIB) && sent++ < 100) window.push(new Uint8Array(64 * KIB), '', 0);
  expect(budget.bytes).toBe(256 * KIB);
  expect(new SentWindow(8, budget).hasRoomFor(64 * KIB)).toBe(true);
});

it('a session has some room whatever others use, and gives all of it back', () => {
  const budget = new WindowBudget(64 * KIB);
  const others = [1, 2, 3, 4].map((twin) => new SentWindow(twin, budget));
  for (const window of others) window.push(new Uint8Array(16 * KIB), '', 0);
  const late = new SentWindow(9, budget);
  const held = new HeldMail(9, budget);
  held.begin();
  expect([late.hasRoomFor(4 * KIB), late.hasRoomFor(17 * KIB)]).toEqual([true, false]);
  for (let sent = 0; sent < 4; sent += 1) late.push(new Uint8Array(4 * KIB), undefined, 0);
  expect(late.hasRoomFor(1)).toBe(false);
  expect(held.push(new Uint8Array(KIB))).toBe(true);
  late.clear();
  for (const window of others) window.clear();
  expect(held.end().length).toBe(1);
  expect(budget.bytes).toBe(0);
});
