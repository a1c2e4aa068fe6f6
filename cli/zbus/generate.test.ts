import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout } from '../node/layout.ts';
import { catalogue, fullName } from './catalogue.ts';
import { describeInterface } from './description.ts';
import { goStub } from './stub-go.ts';
import { tsStub } from './stub-ts.ts';

const all = await catalogue();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-stub-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(all.map((definition) => [fullName(definition), definition] as const))('%s', (name, definition) => {
  it('as TypeScript is the same interface', async () => {
    const library = pathToFileURL(join(checkout, 'modules/zbus/index.ts')).href;
    const file = join(folder, `${name}.ts`);
    await writeFile(file, tsStub(definition).replace("'gridnode/zbus'", `'${library}'`));
    const stub: Record<string, unknown> = await import(pathToFileURL(file).href);
    const [found] = Object.values(stub).filter(
      (value) => typeof value === 'object' && value !== null && 'methods' in value,
    );
    expect(describeInterface(found as typeof definition)).toEqual(withoutDocs(describeInterface(definition)));
  });

  it('as Go has a function a method and a channel a stream', () => {
    const text = goStub(definition);
    for (const method of [...Object.keys(definition.methods), ...Object.keys(definition.streams)]) {
      expect(text).toMatch(new RegExp(`^func \\(c \\*\\w+Client\\) ${method}\\(ctx context\\.Context`, 'm'));
    }
    expect(text.match(/\{/g)?.length).toBe(text.match(/\}/g)?.length);
  });
});

function withoutDocs(value: object): unknown {
  return JSON.parse(JSON.stringify(value, (key, item: unknown) => (key === 'doc' ? undefined : item)));
}
