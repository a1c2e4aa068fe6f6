import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const manifest = join(import.meta.dirname, '..', '..', 'package.json');

/** What `rmb.version` answers: the program's name is part of it, as rmb-peer's numbers mean something else. */
export const version = `gridnode v${z.object({ version: z.string() }).parse(JSON.parse(readFileSync(manifest, 'utf8'))).version}`;
