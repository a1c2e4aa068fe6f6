import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { run } from '../../modules/host/run.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

it.skipIf(!existsSync('/usr/bin/protoc'))('the generated code is that of envelope.proto', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'rmb-proto-'));
  try {
    await run(process.execPath, [here('./generate.ts'), folder], { deadlineMs: 60_000 });
    const made = await readFile(join(folder, 'envelope_pb.ts'), 'utf8');
    expect(made).toBe(await readFile(here('./envelope_pb.ts'), 'utf8'));
  } finally {
    await rm(folder, { recursive: true });
  }
});
