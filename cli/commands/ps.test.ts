import { describe, expect, it } from 'vitest';
import { chosen, duration, operationsTable } from './ps.ts';

type Operation = Parameters<typeof operationsTable>[0][number];

const NOW = 1_795_000_000_000;

function operation(changes: Partial<Operation>): Operation {
  return {
    ...{ ID: 'op-1', Kind: 'create', State: 'running', TwinID: 7, ContractID: 5n, Workload: '', Version: 0 },
    ...{ AskedAt: NOW - 70_000, StartedAt: NOW - 65_000, EndedAt: 0, Attempts: 1, Crashes: 0, LastError: '' },
    ...{ Reason: '', Trace: 'abc', QueuePosition: 0, Steps: [] },
    ...changes,
  };
}

const step = {
  TwinID: 7,
  ContractID: 5n,
  Workload: 'vm1',
  Step: 'image',
  State: 'started',
  Message: '',
  At: NOW,
  Trace: '',
};

describe('gridnode ps', () => {
  it('shows what has not ended, newest first, and lately ended ones only when asked', () => {
    const list = [
      operation({ ID: 'op-1', EndedAt: NOW - 3_600_000, State: 'done' }),
      operation({ ID: 'op-2', EndedAt: NOW - 1_000, State: 'failed' }),
      operation({ ID: 'op-3' }),
      operation({ ID: 'op-4', State: 'queued' }),
    ];
    expect(chosen(list, false, NOW).map(({ ID }) => ID)).toEqual(['op-4', 'op-3']);
    expect(chosen(list, true, NOW).map(({ ID }) => ID)).toEqual(['op-4', 'op-3', 'op-2']);
  });

  it('is one line each, with place, step, time, attempts and the last error', () => {
    const text = operationsTable(
      [
        operation({ ID: 'op-4', State: 'queued', QueuePosition: 3, StartedAt: 0 }),
        operation({
          ID: 'op-3',
          Steps: [step, step],
          Attempts: 2,
          Crashes: 1,
          LastError: 'no\u001b[31m room\non pool',
        }),
      ],
      NOW,
    );
    expect(text.split('\n').map((line) => line.split(/ {2,}/))).toEqual(
      [
        [
          'id',
          'twin',
          'contract',
          'kind',
          'version',
          'state',
          'queue',
          'step',
          'time',
          'attempts',
          'last error, or reason',
        ],
        ['op-4', '7', '5', 'create', '0', 'queued', '3', '-', '1m 10s', '1'],
        [
          'op-3',
          '7',
          '5',
          'create',
          '0',
          'running',
          '-',
          'vm1: image +1',
          '1m 05s',
          '2 (1 crashed)',
          'no room on pool',
        ],
      ].map((cells) => cells.map((cell) => expect.stringContaining(cell))),
    );
    expect(text).not.toContain('\u001b');
    expect(operationsTable([], NOW)).toContain('gridnode ps --all');
    expect(text).not.toContain('parked:');
    const paused = operation({ Kind: 'pause', Reason: 'the contract is in its grace period' });
    expect(operationsTable([paused], NOW)).toContain('in its grace period');
    expect(operationsTable([operation({ State: 'parked' })], NOW)).toContain('parked: tried again after ten minutes');
  });

  it.each([
    [-5, '0s'],
    [59_400, '59s'],
    [60_000, '1m 00s'],
    [7_625_000, '2h 07m'],
  ])('writes %i ms as %s', (milliseconds, text) => {
    expect(duration(milliseconds)).toBe(text);
  });
});
