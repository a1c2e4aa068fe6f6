/** Pages of `docs/zbus/` from the interface definitions: `node modules/zbus/document.ts` writes them anew. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InterfaceDefinition, MethodDefinition } from './definition.ts';
import { queueName } from './frames.ts';
import { type FoundInterface, findInterfaces, wiresOf } from './interfaces.ts';
import type { Wire } from './wire.ts';

const NOTICE = '<!-- Written by `node modules/zbus/document.ts` from the interface definitions. Do not edit. -->';

/** File name below `docs/zbus/` and text of every page. */
export async function documentPages(root: string): Promise<Map<string, string>> {
  const found = await findInterfaces(root);
  const pages = new Map([['README.md', index(found)]]);
  for (const { definition, file } of found) pages.set(pageName(definition), page(definition, file));
  return pages;
}

function pageName(definition: InterfaceDefinition): string {
  return `${definition.module}.${definition.object}.md`;
}

function index(found: readonly FoundInterface[]): string {
  const rows = found.map(({ definition, file }) => {
    const { module, object, version, methods, streams } = definition;
    const counts = `${Object.keys(methods).length} | ${Object.keys(streams).length}`;
    return `| [${module}.${object}](${pageName(definition)}) | ${version} | ${counts} | \`${file}\` |`;
  });
  return lines(
    NOTICE,
    '# Objects on the bus',
    'Each object is one definition; the server, the typed client, the codec and these pages are made from it.',
    '',
    '| object | version | methods | streams | defined in |',
    '|---|---|---|---|---|',
    ...rows,
  );
}

function page(definition: InterfaceDefinition, file: string): string {
  const { module, object, version } = definition;
  const queue = queueName(module, { Name: object, Version: version });
  const methods = Object.entries(definition.methods).map(([name, method]) => methodRow(name, method));
  const streams = Object.entries(definition.streams).map(
    ([name, wire]) => `| ${name} | \`${queue}.${name}\` | ${code(wire.go)} |`,
  );
  const types = [...wiresOf(definition).values()].filter(isNamed).toSorted((a, b) => (a.go < b.go ? -1 : 1));
  return lines(
    NOTICE,
    `# ${module}.${object}`,
    `Version ${version}, queue \`${queue}\`, defined in \`${file}\`.`,
    '',
    '## Methods',
    '| method | arguments | returns | can fail | order |',
    '|---|---|---|---|---|',
    ...methods,
    ...(streams.length === 0 ? [] : ['', '## Streams', '| stream | channel | value |', '|---|---|---|', ...streams]),
    ...(types.length === 0 ? [] : ['', '## Types', ...types.map((wire) => `- ${code(wire.go)}: ${typeText(wire)}`)]),
  );
}

function methodRow(name: string, method: MethodDefinition): string {
  const args = Object.entries(method.args).map(
    ([arg, wire]) => `${arg} ${code(`${arg === method.variadic ? '...' : ''}${wire.go}`)}`,
  );
  const returns = method.returns.map((wire) => code(wire.go));
  const order = method.order ?? 'object';
  const turn = typeof order === 'string' ? ORDER[order] : `one at a time for each \`${order.by}\``;
  const fails = method.fails ? 'yes' : 'no';
  const label = method.doc === undefined ? name : `${name}<br>${method.doc}`;
  return `| ${label} | ${args.join(', ') || '-'} | ${returns.join(', ') || '-'} | ${fails} | ${turn} |`;
}

const ORDER = { read: 'beside everything', object: 'one at a time' } as const;

/** Types that need a line of their own: structs and everything with a Go name beside its shape. */
function isNamed(wire: Wire): boolean {
  return wire.kind === 'struct' || (/^\w+\.\w+$/.test(wire.go) && wire.kind !== 'time');
}

function typeText(wire: Wire): string {
  switch (wire.kind) {
    case 'struct':
      return wire.fields.map(([name, of]) => `${name} ${code(of.go)}`).join('; ') || 'no fields';
    case 'slice':
      return `list of ${code(wire.of.go)}`;
    case 'map':
      return `map from ${code(wire.key.go)} to ${code(wire.value.go)}`;
    case 'pointer':
      return `${code(wire.to.go)} or nil`;
    case 'fixed':
      return `${wire.length} bytes`;
    case 'opaque':
      return 'its content does not cross the bus';
    default:
      return wire.kind;
  }
}

function code(text: string): string {
  return `\`${text}\``;
}

function lines(...all: readonly string[]): string {
  const spaced = all.flatMap((line) => (line.startsWith('#') ? [line, ''] : [line]));
  return `${spaced.join('\n')}\n`;
}

async function write(root: string): Promise<void> {
  const folder = join(root, 'docs', 'zbus');
  await mkdir(folder, { recursive: true });
  const pages = await documentPages(root);
  for (const name of await readdir(folder)) if (!pages.has(name)) await rm(join(folder, name));
  for (const [name, text] of pages) await writeFile(join(folder, name), text);
}

if (process.argv[1] === import.meta.filename) await write(join(import.meta.dirname, '..', '..'));
