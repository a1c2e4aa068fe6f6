import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Syncing } from './syncing.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'syncing-'));
  path = join(folder, 'log');
});

afterEach(() => rm(folder, { recursive: true, force: true }));

it('serves all that wait before it begins with one sync, and who comes later with another', async () => {
  await appendFile(path, 'x');
  const syncing = new Syncing(path);
  const first = syncing.synced();
  expect(syncing.synced()).toBe(first);
  await Promise.resolve().then(() => Promise.resolve());
  const second = syncing.synced();
  expect(second).not.toBe(first);
  await Promise.all([first, second]);
  syncing.close();
});

it('says what the disk says, and tries again for the next', async () => {
  const syncing = new Syncing(path);
  await expect(syncing.synced()).rejects.toThrow(/ENOENT/);
  await appendFile(path, 'x');
  await syncing.synced();
  syncing.close();
});

it('has nothing to do once it is closed', async () => {
  const syncing = new Syncing(path);
  syncing.close();
  await syncing.synced();
});
