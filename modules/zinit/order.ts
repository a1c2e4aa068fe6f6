/** In which order units start and stop. */
import { type Unit, UnitError } from './unit.ts';

/**
 * Units so that each stands behind all it comes `after`. Throws `UnitError`
 * for a circle and for a name that no unit has.
 */
export function startOrder(units: ReadonlyMap<string, Unit>): Unit[] {
  const ordered: Unit[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (name: string, path: readonly string[]): void => {
    if (state.get(name) === 'done') return;
    if (state.get(name) === 'open') throw new UnitError(`units wait for each other: ${[...path, name].join(' -> ')}`);
    const unit = units.get(name);
    if (unit === undefined) throw new UnitError(`unit ${path.at(-1)} comes after '${name}', which is not defined`);
    state.set(name, 'open');
    for (const earlier of unit.after) visit(earlier, [...path, name]);
    state.set(name, 'done');
    ordered.push(unit);
  };
  for (const name of units.keys()) visit(name, []);
  return ordered;
}

/** Names of the units that come after `name`, directly or not. */
export function dependants(units: ReadonlyMap<string, Unit>, name: string): Set<string> {
  const found = new Set<string>();
  for (const unit of startOrder(units)) {
    if (unit.after.some((earlier) => earlier === name || found.has(earlier))) found.add(unit.name);
  }
  return found;
}
