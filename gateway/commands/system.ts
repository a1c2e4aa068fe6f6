import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { systemDmi, systemHypervisor, systemNodeFeatures, systemVersion } from '../../schemas/index.ts';
import { handle } from './handler.ts';

const manifest = join(import.meta.dirname, '..', '..', 'package.json');
const { version } = z.object({ version: z.string() }).parse(JSON.parse(readFileSync(manifest, 'utf8')));

export const systemHandlers = [
  // The supervisor is part of this software and carries its version.
  handle(systemVersion, (_input, { node }) => ({ zos: [version, ...node.traits].join('+'), zinit: `v${version}` })),
  handle(systemHypervisor, (_input, { node, signal, deadlineMs }) =>
    node.machine.Hypervisor({}, { signal, deadlineMs }),
  ),
  handle(systemNodeFeatures, async (_input, { node, signal, deadlineMs }) => [
    ...(await node.planner.Features({}, { signal, deadlineMs })),
    ...node.traits,
  ]),
  handle(systemDmi, async (_input, { node, signal, deadlineMs }) => {
    const table = await node.machine.Dmi({}, { signal, deadlineMs });
    return {
      tooling: { aggregator: table.Aggregator, decoder: table.Decoder },
      sections: table.Sections.map((section) => ({
        handleline: section.HandleLine,
        typestr: section.Type,
        typenum: section.TypeNumber,
        subsections: section.SubSections.map(({ Title, Properties }) => ({
          title: Title,
          properties: Object.fromEntries(
            Properties.map(({ Name, Value, Items }) => [Name, { value: Value, items: Items }]),
          ),
        })),
      })),
    };
  }),
];
