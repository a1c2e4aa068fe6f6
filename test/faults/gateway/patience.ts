/** Milliseconds in which this process could work. What a busy machine gives to others counts little, a stall in full. */
const TICK_MS = 10;
const MOST_MS = 20;

let worked = 0;
let last = performance.now();
setInterval(() => {
  const now = performance.now();
  worked += Math.min(now - last, MOST_MS);
  last = now;
}, TICK_MS).unref();

export const workedMs = (): number => worked;
