/**
 * Who may call what: decided here alone. As on existing nodes the check of a group of commands runs
 * before a command is looked up in it, so a stranger learns nothing of what there is.
 */
import type { Caller, Command } from '../../schemas/index.ts';

/** Groups that are closed as a whole, by the first parts of their commands' names. */
const groups: ReadonlyMap<string, Caller> = new Map([
  ['zos.admin', 'farmer'],
  ['zos.network.admin', 'farmer'],
  ['zos.debug', 'admin'],
]);

/** Whom a name is open to, whether or not there is such a command. */
export function callerOf(name: string, command: Command | undefined): Caller {
  return groupOf(name) ?? command?.caller ?? 'any';
}

/** Of a closed group, who may call its commands; `undefined` outside of them. */
export function groupOf(name: string): Caller | undefined {
  for (const [group, caller] of groups) if (name === group || name.startsWith(`${group}.`)) return caller;
  return undefined;
}

export interface Roles {
  /** The twin that owns the node's farm. */
  readonly farmer: () => Promise<number>;
  /** Twins that the node's operator named, now. */
  readonly admins: () => ReadonlySet<number>;
}

export async function mayCall(caller: Caller, twin: number, roles: Roles): Promise<boolean> {
  switch (caller) {
    case 'any':
    case 'own':
      return true;
    case 'farmer':
      return (await roles.farmer()) === twin;
    case 'admin':
      return roles.admins().has(twin);
  }
}

/** Strangers who knock must not cost a question each; who was the farmer must not stay it for long. */
const FARMER_VALID_MS = 30_000;
const FARMER_RETRY_MS = 1_000;

/** Asks once and remembers; who comes meanwhile waits for the same answer, after a failure for the next one. */
export function rememberedFarmer(ask: () => Promise<number>, now: () => number = () => performance.now()) {
  let answer: Promise<number> | undefined;
  let validUntil = 0;
  return (): Promise<number> => {
    if (answer !== undefined && now() < validUntil) return answer;
    const asked = ask();
    answer = asked;
    validUntil = Number.POSITIVE_INFINITY;
    asked.then(
      () => {
        validUntil = now() + FARMER_VALID_MS;
      },
      () => {
        validUntil = now() + FARMER_RETRY_MS;
      },
    );
    return asked;
  };
}
