/** The checks of the fault runs see what they are there to see. */
import { expect, it } from 'vitest';
import type { Change } from '../../../provision/store/journal.ts';
import type { OperationRecord } from '../../../provision/store/operations.ts';
import { differences } from './books.ts';
import { malformed, unended } from './promises.ts';

const change = (workload: string, version: number, state: Change['state']): Change => ({
  ...{ workload, version, state, signed: '', message: '', data: '', created: 0 },
});

it('knows a history that can not be', () => {
  const whole = [change('a', 0, 'init'), change('a', 0, 'ok'), change('a', 0, 'paused'), change('a', 1, 'ok')];
  expect(malformed([...whole, change('a', 1, 'deleted'), change('a', 2, 'init')])).toEqual([]);
  expect(malformed([...whole, change('a', 1, 'ok')])).toEqual(['a 1 is ok twice']);
  expect(malformed([...whole, change('a', 0, 'init')])).toEqual(['a 0 began twice']);
  expect(malformed([...whole, change('a', 1, 'deleted'), change('a', 1, 'paused')])).toEqual([
    'a 1 is paused after it was deleted',
  ]);
  expect(malformed([change('a', 0, 'ok')])).toEqual(['a 0 is ok before it began']);
});

it('knows what leaks and what is lost', () => {
  expect(differences(['disk a 1', 'tap t-1 b-1'], ['disk a 2', 'tap t-1 b-1'], [])).toEqual([
    'stands and should not: disk a 1',
    'should stand and does not: disk a 2',
  ]);
  const paused = ['machine 7-1-vm1 paused', 'mount 7-1-vm1', 'disk a 1'];
  expect(differences([], paused, ['7-1-vm1'])).toEqual(['should stand and does not: disk a 1']);
});

it('knows an operation that has no good end', () => {
  const operation: OperationRecord = {
    ...{ id: 'op-1', deployment: '7-1', twin: 7, contract: 1n, kind: 'create', workload: '', version: 0, trace: '' },
    ...{ reason: '', askedAt: 1, startedAt: 2, endedAt: 3, attempts: 1, crashes: 0, state: 'done', error: '' },
  };
  expect(unended([operation, { ...operation, state: 'failed', error: 'no room' }])).toEqual([]);
  const what = 'operation op-1, create of 7-1,';
  expect(unended([{ ...operation, state: 'running', endedAt: 0 }])).toEqual([`${what} is running`]);
  expect(unended([{ ...operation, endedAt: 0 }])).toEqual([`${what} is done and has no end`]);
  expect(unended([{ ...operation, startedAt: 0 }])).toEqual([`${what} is done and was not begun`]);
  expect(unended([{ ...operation, error: 'x' }])).toEqual([`${what} is done with the error 'x'`]);
  expect(unended([{ ...operation, state: 'failed' }])).toEqual([`${what} failed without a cause`]);
});
