/** How a node stands at a moment, to prove that something changed nothing. */
import { expect } from 'vitest';
import type { CapacityReport } from '../../schemas/index.ts';
import { differenceTo, restingHoldings } from './holdings.ts';
import type { Tenant } from './tenant.ts';

export interface Standing {
  readonly capacity: CapacityReport;
  readonly holdings: readonly string[];
  /** Restarts and process id of each unit. */
  readonly units: Readonly<Record<string, string>>;
}

export async function unitsOf(tenant: Tenant): Promise<Record<string, string>> {
  const units = await tenant.node.zinit.list();
  return Object.fromEntries(units.map(({ name, state, restarts, pid }) => [name, `${state} ${restarts} ${pid}`]));
}

export async function standingOf(tenant: Tenant): Promise<Standing> {
  return {
    capacity: await tenant.capacity(),
    holdings: await restingHoldings(tenant.node.layout),
    units: await unitsOf(tenant),
  };
}

/** The node answers, has the same free capacity, holds the same things, and no process was started again. */
export async function expectUnchanged(tenant: Tenant, before: Standing): Promise<void> {
  await tenant.answered();
  await expect.poll(() => tenant.capacity()).toEqual(before.capacity);
  expect(await differenceTo(before.holdings, tenant.node.layout)).toEqual({ more: [], less: [] });
  expect(await unitsOf(tenant)).toEqual(before.units);
}
