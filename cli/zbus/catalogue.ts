/** Objects as a person names them: `storage.storage@0.0.1`, `storage.storage` or `storage`. */
import type { InterfaceDefinition, MethodDefinition } from '../../modules/zbus/index.ts';
import { findInterfaces } from '../../modules/zbus/interfaces.ts';
import type { Wire } from '../../modules/zbus/wire.ts';
import { CliError } from '../command.ts';
import { checkout } from '../node/layout.ts';

export async function catalogue(): Promise<InterfaceDefinition[]> {
  return (await findInterfaces(checkout)).map(({ definition }) => definition);
}

export function fullName({ module, object, version }: InterfaceDefinition): string {
  return `${module}.${object}@${version}`;
}

/**
 * The object of that name; of a module's name its standard one, `storage.storage`, where it has that. Throws `CliError`
 * with the choices where there is none or more than one.
 */
export async function findObject(name: string): Promise<InterfaceDefinition> {
  const all = await catalogue();
  const found = all.filter((definition) => {
    const { module, object } = definition;
    return [fullName(definition), `${module}.${object}`, module].includes(name);
  });
  const standard = found.find(({ module, object }) => module === name && object === name);
  if (standard !== undefined) return standard;
  const [only, ...more] = found;
  if (only !== undefined && more.length === 0) return only;
  if (only === undefined) {
    const near = all.filter(({ module }) => module === name.split('.')[0]);
    throw new CliError(`no object '${name}'; there ${list((near.length > 0 ? near : all).map(fullName))}`);
  }
  throw new CliError(`'${name}' has several objects; say which: ${found.map(fullName).join(', ')}`);
}

export function findMethod(definition: InterfaceDefinition, name: string | undefined): MethodDefinition {
  const method = name !== undefined && Object.hasOwn(definition.methods, name) ? definition.methods[name] : undefined;
  if (method !== undefined) return method;
  const names = Object.keys(definition.methods);
  throw new CliError(
    `${fullName(definition)} has no method '${name ?? ''}'; it ${names.length === 0 ? 'has none' : `has ${names.join(', ')}`}`,
  );
}

/** `module.object@version.Stream`, where version and object may be left out if that leaves one. */
export async function findStream(
  name: string,
): Promise<{ readonly definition: InterfaceDefinition; readonly stream: string; readonly wire: Wire }> {
  const found = (await catalogue()).flatMap((definition) =>
    Object.entries(definition.streams)
      .filter(([stream]) => {
        const { module, object } = definition;
        return [`${fullName(definition)}.${stream}`, `${module}.${object}.${stream}`, `${module}.${stream}`].includes(
          name,
        );
      })
      .map(([stream, wire]) => ({ definition, stream, wire })),
  );
  const [only, ...more] = found;
  if (only !== undefined && more.length === 0) return only;
  const names = found.map(({ definition, stream }) => `${fullName(definition)}.${stream}`);
  if (only !== undefined) throw new CliError(`'${name}' has several streams; say which: ${names.join(', ')}`);
  const all = (await catalogue()).flatMap((one) => Object.keys(one.streams).map((stream) => `${one.module}.${stream}`));
  throw new CliError(`no stream '${name}'; there ${list(all)}`);
}

function list(names: readonly string[]): string {
  return names.length === 1 ? `is ${names[0]}` : `are ${names.join(', ')}`;
}
