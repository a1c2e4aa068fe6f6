import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_DOOR_LIMITS } from './limits.ts';
import { readLimits } from './limits-file.ts';
import { checks, DoorMetrics } from './metrics.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-limits-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function read(text: string): Promise<unknown> {
  const path = join(folder, 'limits.json');
  await writeFile(path, text);
  return await readLimits(path);
}

describe('the file of limits', () => {
  it('changes what it names', async () => {
    expect(await readLimits(undefined)).toBe(DEFAULT_DOOR_LIMITS);
    expect(await read('{}')).toEqual(DEFAULT_DOOR_LIMITS);
    const changed = { ratePerSecond: 5, rateBurst: 5 };
    expect(await read(JSON.stringify(changed))).toEqual({ ...DEFAULT_DOOR_LIMITS, ...changed });
  });

  it.each([
    ['{"ratePerSecnd":5}', /Unrecognized key: "ratePerSecnd"/],
    ['{"ratePerSecond":"5"}', /ratePerSecond: .*expected number/],
    ['{"ratePerSecond":0}', /ratePerSecond: Too small/],
    ['{"ratePerSecond":1.5}', /ratePerSecond: /],
    ['{"lifetimeSeconds":7200}', /lifetimeSeconds: Too big: expected number to be <=3600/],
    ['{"concurrency":10}', /concurrencyPerTwin: is 256, above concurrency, which is 10/],
    ['{"sizeBytes":2000}', /payloadBytes: is 1310720, above sizeBytes, which is 2000/],
    ['[]', /expected object/],
    ['{', /limits\.json: /],
    [`{"ratePerSecond":5}${' '.repeat(70_000)}`, /has 70019 bytes, at most 65536 are read/],
  ])('refuses %.40s, naming file and field', async (text, problem) => {
    const reading = read(text);
    await expect(reading).rejects.toThrow(problem);
    await expect(reading).rejects.toThrow(`limits file ${folder}`);
  });

  it('refuses a file that is not there', async () => {
    await expect(readLimits(join(folder, 'no'))).rejects.toThrow(/limits file .*ENOENT/);
  });
});

describe('docs/door.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/door.md'), 'utf8');

  it('has every limit with its usual value', () => {
    for (const [name, value] of Object.entries(DEFAULT_DOOR_LIMITS))
      expect(page).toContain(`| \`${name}\` | ${value} |`);
  });

  it('has every check in its order, and every metric', async () => {
    const rows = [...page.matchAll(/^\| `([a-z]+)` \| `/gm)].map(([, check]) => check);
    expect(rows).toEqual([...checks]);
    const registry = new Registry();
    new DoorMetrics(registry);
    for (const { name } of await registry.getMetricsAsJSON()) expect(page).toContain(`\`${name}`);
  });
});
