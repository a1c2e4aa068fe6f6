import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { systemHypervisor, systemNodeFeatures, systemVersion } from '../../schemas/index.ts';
import { handle } from './handler.ts';
import { hypervisor } from './hypervisor.ts';

const manifest = join(import.meta.dirname, '..', '..', 'package.json');
const { version } = z.object({ version: z.string() }).parse(JSON.parse(readFileSync(manifest, 'utf8')));

export const systemHandlers = [
  // The supervisor is part of this software and carries its version.
  handle(systemVersion, () => ({ zos: version, zinit: `v${version}` })),
  handle(systemHypervisor, () => hypervisor()),
  handle(systemNodeFeatures, (_input, { node, signal, deadlineMs }) =>
    node.planner.Features({}, { signal, deadlineMs }),
  ),
];
