/** A journal of which one value or one page is damaged while its process is dead, and what has to hold of the node then. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { planner } from '../../../provision/interface.ts';
import { diskWorkload } from '../../../provision/testing/tenant.ts';
import { standing } from './books.ts';
import { first } from './deployments.ts';
import { settle } from './promises.ts';
import { deploy } from './tenants.ts';
import { tenant, type World } from './world.ts';

const GIB = 1024 ** 3;
const PAGE_BYTES = 4096;
const TABLES = ['deployments', 'workloads', 'signed', 'changes', 'steps', 'operations'];
/** The other one's record is never damaged by name, and may be with a page. */
const bystander = {
  deployment: tenant.deployment(5n, [diskWorkload('other', GIB)]),
  promised: { contract: 5n, version: 0, states: { other: 'ok' } },
} as const;
const newcomer = {
  deployment: tenant.deployment(6n, [diskWorkload('new', GIB)]),
  promised: { contract: 6n, version: 0, states: { new: 'ok' } },
} as const;

export interface Damage {
  readonly name: string;
  /** Done to the file of a journal that nobody has open. */
  readonly make: (path: string) => void;
}

const VALUES = [
  ['nothing', null],
  ['an unknown word', 'x\u0000{'],
  ['a number beyond all bounds', 2 ** 60],
  ['bytes', Buffer.from([0xff, 0xfe, 0x00])],
] as const;

/** Every value of the first deployment's rows in another form, and every page as a dying disk gives it. */
export function damagesOf(path: string): Damage[] {
  const database = new DatabaseSync(path);
  const damages: Damage[] = [];
  for (const table of TABLES) {
    const owner = table === 'deployments' ? 'id' : 'deployment';
    const rows = database.prepare(`SELECT rowid AS place, * FROM ${table} WHERE ${owner} = '7-1'`).all();
    // Steps and changes are many alike.
    for (const [at, { place, ...row }] of rows.slice(0, 4).entries()) {
      for (const column of Object.keys(row)) {
        for (const [what, value] of VALUES) {
          damages.push({
            name: `${what} in ${table}.${column} of row ${at + 1}`,
            make: (file) => {
              const opened = new DatabaseSync(file);
              try {
                opened.exec('PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON');
                opened.prepare(`UPDATE ${table} SET ${column} = ? WHERE rowid = ?`).run(value, Number(place));
              } catch {
                // What the schema does not let in can not come about so.
              } finally {
                opened.close();
              }
            },
          });
        }
      }
    }
  }
  database.close();
  const pages = Math.floor(readFileSync(path).length / PAGE_BYTES);
  for (let page = 0; page < pages; page++) {
    for (const [what, fill] of [
      ['zeroes', Buffer.alloc(PAGE_BYTES)],
      ['noise', Buffer.alloc(PAGE_BYTES, 0xa5)],
    ] as const) {
      damages.push({
        name: `${what} in page ${page + 1}`,
        make: (file) => {
          const handle = openSync(file, 'r+');
          writeSync(handle, fill, 0, PAGE_BYTES, page * PAGE_BYTES);
          closeSync(handle);
        },
      });
    }
  }
  return damages;
}

const journalOf = (world: World): string => join(world.folder, 'journal.sqlite');

/** A node with two deployments, whose orchestrator dies; it comes back a moment after `during`. */
export async function dieWith(world: World, during: (path: string) => void): Promise<readonly string[]> {
  await world.start();
  await deploy(world, first.deployment);
  await deploy(world, bystander.deployment);
  await settle(world, [first.promised, bystander.promised]);
  const before = standing(world);
  world.killProvisiond();
  during(journalOf(world));
  return before;
}

/**
 * All that stood stands, is counted, and what is not set aside by name runs and works; new deployments come.
 * Throws what does not hold.
 */
export async function expectWorksOn(world: World, before: readonly string[], deadlineMs: number): Promise<void> {
  const until = performance.now() + deadlineMs;
  for (;;) {
    const found = await wrong(world, before);
    if (found.length === 0) break;
    if (performance.now() > until) throw new Error(found.join('\n'));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await deploy(world, newcomer.deployment);
  const { journal } = world.orchestrator;
  for (;;) {
    const state = journal?.deployment('7-6')?.workloads[0]?.state;
    if (state === 'ok') return;
    if (performance.now() > until) throw new Error(`a new deployment is ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function wrong(world: World, before: readonly string[]): Promise<string[]> {
  const { journal } = world.orchestrator;
  if (!world.isWhole || journal === undefined) return ['the orchestrator is not back'];
  const aside = new Set(journal.quarantined().map(({ deployment }) => deployment));
  const found: string[] = [];
  for (const { promised } of [first, bystander]) {
    const id = `7-${promised.contract}`;
    const record = journal.deployment(id);
    if (record === undefined && !aside.has(id)) found.push(`${id} is gone, and nobody says so`);
    if (record?.workloads.some(({ state }) => state !== 'ok')) found.push(`${id} is not what it was`);
  }
  const now = standing(world);
  found.push(...before.filter((line) => !now.includes(line)).map((line) => `was taken from a tenant: ${line}`));
  const { Committed } = await world.watcher.of(planner).Capacity({}, { deadlineMs: 2_000 });
  const held = before
    .filter((line) => /^(disk|volume) /.test(line))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  if (Number(Committed.SRU) < held) found.push(`${held} bytes stand, and ${Committed.SRU} are counted`);
  return found;
}
