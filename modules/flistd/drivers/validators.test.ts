import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { Validators } from './validators.ts';

const folder = mkdtempSync(join(tmpdir(), 'gn-fv-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const validator = (etag: string) => ({ etag, sha256: 'a', md5: 'b' });

it('keeps a bounded number of addresses, the latest, and touches nothing else', async () => {
  const validators = new Validators(folder, 3);
  writeFileSync(join(folder, '0123.fl'), '');
  writeFileSync(join(folder, 'a.json'), '');
  for (const name of ['a', 'b', 'c', 'a', 'd']) {
    await validators.put(`http://hub/${name}.fl`, validator(name));
    await delay(15);
  }
  const known = await Promise.all(['a', 'b', 'c', 'd'].map((name) => validators.get(`http://hub/${name}.fl`)));
  expect(known).toEqual([validator('a'), undefined, validator('c'), validator('d')]);
  await Promise.all(Array.from({ length: 20 }, (_, i) => validators.put(`http://hub/${i}`, validator(`${i}`))));
  await validators.put('http://hub/last', validator('last'));
  expect(readdirSync(folder)).toHaveLength(3 + 2);
  expect(await validators.get('http://hub/last')).toEqual(validator('last'));
});
