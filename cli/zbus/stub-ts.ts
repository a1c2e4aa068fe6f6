/** A client in TypeScript: the interface's definition and a function that makes its typed client. */
import type { InterfaceDefinition, MethodDefinition } from '../../modules/zbus/index.ts';
import { wiresOf } from '../../modules/zbus/interfaces.ts';
import type { Wire } from '../../modules/zbus/wire.ts';
import { fullName } from './catalogue.ts';

/** What the library has for each kind that needs no description of its own. */
const PLAIN: Readonly<Record<string, string>> = {
  bool: 'bool',
  string: 'str',
  bytes: 'bytes',
  int8: 'int8',
  int16: 'int16',
  int32: 'int32',
  uint8: 'uint8',
  uint16: 'uint16',
  uint32: 'uint32',
  float32: 'float32',
  float64: 'float64',
  time: 'time',
  any: 'any',
};

export function tsStub(definition: InterfaceDefinition): string {
  const imports = new Set<string>(['defineInterface']);
  const wires = [...wiresOf(definition).values()].reverse();
  const named = new Map(wires.filter(isNamed).map((wire) => [wire.go, constantOf(wire.go, wires)]));
  const declared = new Set<string>();
  const declarations: string[] = [];
  const declare = (wire: Wire): void => {
    for (const inner of innerOf(wire)) declare(inner);
    const name = named.get(wire.go);
    if (name === undefined || declared.has(name)) return;
    declared.add(name);
    declarations.push(`export const ${name} = ${expression(wire, named, imports, true)};`);
  };
  for (const wire of wires) declare(wire);
  const type = (wire: Wire): string => expression(wire, named, imports, false);
  const methods = Object.entries(definition.methods).map(([name, method]) => `    ${name}: ${tsMethod(method, type)},`);
  const streams = Object.entries(definition.streams).map(([name, wire]) => `    ${name}: ${type(wire)},`);
  const { module, object, version } = definition;
  const constant = camel(`${module}-${object}`);
  return [
    `// Written by gridnode from ${fullName(definition)}. Do not edit.`,
    `import { type Client, type ZbusClient, ${[...imports].sort().join(', ')} } from 'gridnode/zbus';`,
    '',
    ...declarations,
    '',
    `export const ${constant} = defineInterface({`,
    `  module: '${module}',`,
    `  object: '${object}',`,
    `  version: '${version}',`,
    '  methods: {',
    ...methods,
    '  },',
    '  streams: {',
    ...streams,
    '  },',
    '});',
    '',
    `/** Calls ${fullName(definition)}; every method throws \`ZbusError\`. */`,
    `export function ${constant}Client(bus: ZbusClient): Client<typeof ${constant}> {`,
    `  return bus.of(${constant});`,
    '}',
    '',
  ].join('\n');
}

function tsMethod(method: MethodDefinition, type: (wire: Wire) => string): string {
  const args = Object.entries(method.args).map(([name, wire]) => `${name}: ${type(wire)}`);
  const order = method.order ?? 'object';
  return `{ ${[
    `args: {${args.length === 0 ? '' : ` ${args.join(', ')} `}}`,
    `returns: [${method.returns.map(type).join(', ')}]`,
    `fails: ${method.fails}`,
    ...(order === 'object' ? [] : [`order: ${typeof order === 'string' ? `'${order}'` : `{ by: '${order.by}' }`}`]),
    ...(method.variadic === undefined ? [] : [`variadic: '${method.variadic}'`]),
  ].join(', ')} }`;
}

function isNamed(wire: Wire): boolean {
  return wire.kind === 'struct' || (/^\w+\.\w+$/.test(wire.go) && wire.kind !== 'time');
}

function innerOf(wire: Wire): Wire[] {
  switch (wire.kind) {
    case 'struct':
      return wire.fields.map(([, of]) => of);
    case 'slice':
      return [wire.of];
    case 'pointer':
      return [wire.to];
    case 'map':
      return [wire.key, wire.value];
    default:
      return [];
  }
}

function expression(wire: Wire, named: ReadonlyMap<string, string>, imports: Set<string>, declaring: boolean): string {
  const own = named.get(wire.go);
  if (own !== undefined && !declaring) return own;
  const use = (name: string): string => {
    imports.add(name);
    return name;
  };
  const inner = (of: Wire): string => expression(of, named, imports, false);
  const go = JSON.stringify(wire.go);
  const last = wire.go === usualName(wire) ? '' : `, ${go}`;
  switch (wire.kind) {
    case 'struct':
      return `${use('struct')}(${go}, {${wire.fields.map(([name, of]) => `\n  ${name}: ${inner(of)},`).join('')}\n})`;
    case 'slice':
      return `${use('slice')}(${inner(wire.of)}${last})`;
    case 'pointer':
      return `${use('pointer')}(${inner(wire.to)}${last})`;
    case 'map':
      return `${use('map')}(${inner(wire.key)}, ${inner(wire.value)}${last})`;
    case 'fixed':
      return `${use('fixedBytes')}(${wire.length}, ${go})`;
    case 'opaque':
      return `${use('opaque')}(${go})`;
    default: {
      const scalar = use(scalarOf(wire));
      return own === undefined ? scalar : `${use('named')}(${go}, ${scalar})`;
    }
  }
}

/** The Go name that the library gives a composite type by itself. */
function usualName(wire: Wire): string | undefined {
  if (wire.kind === 'slice') return `[]${wire.of.go}`;
  if (wire.kind === 'pointer') return `*${wire.to.go}`;
  return wire.kind === 'map' ? `map[${wire.key.go}]${wire.value.go}` : undefined;
}

function scalarOf(wire: Wire): string {
  const exact = 'carrier' in wire && wire.carrier === 'bigint';
  if (wire.go === 'int' || wire.go === 'uint') return wire.go;
  if (wire.kind === 'int64') return exact ? 'int64' : 'signed64';
  if (wire.kind === 'uint64') return exact ? 'uint64' : 'count64';
  return PLAIN[wire.kind] ?? 'any';
}

/** `pkg.Volume` is `Volume`, or `PkgVolume` where another package has one, too. */
function constantOf(go: string, wires: readonly Wire[]): string {
  const [pack = '', short = go] = go.split('.');
  const taken = wires.some((other) => other.go !== go && isNamed(other) && other.go.split('.')[1] === short);
  return taken ? `${pack.charAt(0).toUpperCase()}${pack.slice(1)}${short}` : short;
}

function camel(name: string): string {
  const parts = name.split(/[^A-Za-z0-9]+/);
  return parts.map((part, index) => (index === 0 ? part : part.charAt(0).toUpperCase() + part.slice(1))).join('');
}
