import { expect, it } from 'vitest';
import { absent } from './absent.ts';
import type { Journal, Quarantined } from './journal.ts';
import { MemoryJournal } from './memory.ts';

/** A journal with these damages. */
function damaged(...entries: readonly (readonly [table: string, deployment: string])[]): Journal {
  const list: Quarantined[] = entries.map(([table, deployment]) => ({
    ...{ table, deployment, key: deployment, reason: 'its row is lost', at: 1 },
  }));
  return Object.assign(new MemoryJournal(), { quarantined: () => list });
}

it.each([
  ['nothing is damaged', damaged(), 'deployment_not_found'],
  ['its record is set aside', damaged(['journal', ''], ['workloads', '7-5']), 'deployment_quarantined'],
  ['that of another is', damaged(['deployments', '7-51']), 'deployment_not_found'],
  ['a line of a log that named it is', damaged(['steps', '7-5']), 'deployment_not_found'],
])('says why a deployment is not there where %s', (_, journal, code) => {
  expect(absent(journal, 7, 5n)).toMatchObject({ code, details: { twin: 7, contract: '5' } });
});
