/** A journal whose disk fails on command: for tests of what happens then. */
import type { Journal } from './journal.ts';

/** Every method of a journal that writes. */
export const JOURNAL_WRITES = [
  'accept',
  'revise',
  'recordStep',
  'finish',
  'settle',
  'decommission',
  'cancel',
  'pause',
  'release',
  'tombstone',
  'restoring',
  'begin',
  'end',
  'vacated',
] as const;
type Write = (typeof JOURNAL_WRITES)[number];

export interface FailingJournal extends Journal {
  /** Names of the writes that fail from now on. */
  readonly failing: Set<Write>;
}

/** `journal`, except that writes named in `failing` throw before they change anything. */
export function failingJournal(journal: Journal): FailingJournal {
  const failing = new Set<Write>();
  return new Proxy(journal, {
    get(target, property) {
      if (property === 'failing') return failing;
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (failing.has(property as Write)) throw new Error('disk I/O error');
        return value.apply(target, args);
      };
    },
  }) as FailingJournal;
}
