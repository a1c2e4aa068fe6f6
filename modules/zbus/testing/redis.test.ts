import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { startRedis, type TestRedis } from './redis.ts';

let redis: TestRedis | undefined;

afterEach(async () => {
  await redis?.stop();
  redis = undefined;
});

/** Process ids of the servers of one socket, those without their file included. */
async function serversOf({ socket }: TestRedis): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-eo', 'pid,args']);
  const lines = stdout.split('\n').filter((line) => line.includes('redis-server') && line.includes(socket));
  return lines.map((line) => Number.parseInt(line, 10));
}

it('leaves one server when it is restarted again before it is back', async () => {
  redis = await startRedis();
  const [before] = await serversOf(redis);
  await Promise.all([redis.restart(), redis.restart(), redis.restart(20)]);
  const after = await serversOf(redis);
  expect(after).toHaveLength(1);
  expect(after).not.toContain(before);
});

it('leaves no server when it is stopped before it is back', async () => {
  redis = await startRedis();
  const restarted = redis.restart(20);
  await redis.stop();
  await restarted;
  expect(await serversOf(redis)).toEqual([]);
  expect(existsSync(redis.socket)).toBe(false);
});
