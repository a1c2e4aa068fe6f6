/** Finds every interface of the tree: for the documentation and for the checks against Go's own. */
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { InterfaceDefinition } from './definition.ts';
import type { Wire } from './wire.ts';

export interface FoundInterface {
  /** Path of the file below the root, as `modules/vmd/interface.ts`. */
  readonly file: string;
  readonly definition: InterfaceDefinition;
}

export async function findInterfaces(root: string): Promise<FoundInterface[]> {
  const found: FoundInterface[] = [];
  const files = globSync(['modules/*/interface.ts', 'provision/interface.ts'], { cwd: root }).sort();
  for (const file of files) {
    const exported: Record<string, unknown> = await import(pathToFileURL(join(root, file)).href);
    for (const value of Object.values(exported)) if (isInterface(value)) found.push({ file, definition: value });
  }
  // The order of a module's exports is the loader's business.
  return found.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

function nameOf({ definition }: FoundInterface): string {
  return `${definition.module}.${definition.object}`;
}

function isInterface(value: unknown): value is InterfaceDefinition {
  return typeof value === 'object' && value !== null && 'module' in value && 'object' in value && 'methods' in value;
}

/** Every type that crosses the bus in an interface, by its Go name. */
export function wiresOf(definition: InterfaceDefinition): Map<string, Wire> {
  const wires = new Map<string, Wire>();
  const visit = (wire: Wire): void => {
    if (wires.has(wire.go)) return;
    wires.set(wire.go, wire);
    if (wire.kind === 'struct') for (const [, field] of wire.fields) visit(field);
    else if (wire.kind === 'slice') visit(wire.of);
    else if (wire.kind === 'pointer') visit(wire.to);
    else if (wire.kind === 'map') {
      visit(wire.key);
      visit(wire.value);
    }
  };
  for (const method of Object.values(definition.methods)) {
    for (const wire of Object.values(method.args)) visit(wire);
    for (const wire of method.returns) visit(wire);
  }
  for (const wire of Object.values(definition.streams)) visit(wire);
  return wires;
}
