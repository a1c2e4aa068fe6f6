import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { GatewayWorld } from './world.ts';

it('is whole no sooner than Redis is back', async ({ onTestFinished }) => {
  const folder = mkdtempSync(join(tmpdir(), 'gn-way-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const world = await GatewayWorld.start(join(folder, 'world'));
  onTestFinished(() => world.close());
  const back = world.strike('redis').then(() => 'back');
  // A tenant that finds its deployment there goes on without the answer that waits for Redis.
  await world.whole();
  expect(await Promise.race([back, turn('away')])).toBe('back');
});
