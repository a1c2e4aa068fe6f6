import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorTable, GridError, isGridError, reviveError } from './index.ts';
import type { ErrorEntry } from './table.ts';

const entries = Object.entries<ErrorEntry>(errorTable);

describe('the error table', () => {
  it('uses every number but 0 once', () => {
    const numbers = entries.map(([, entry]) => entry.number).filter((number) => number !== 0);
    expect(numbers.filter((number, i) => numbers.indexOf(number) !== i)).toEqual([]);
  });

  it('uses every code once, over all files', () => {
    const files = readdirSync(import.meta.dirname).filter(
      (file) => !/^(index|table)\.ts$|\.test\.ts$/.test(file) && file.endsWith('.ts'),
    );
    const codes = files.flatMap((file) =>
      [...readFileSync(`${import.meta.dirname}/${file}`, 'utf8').matchAll(/^ {2}([a-z0-9_]+): [a-z]+\($/gm)].map(
        (match) => match[1] as string,
      ),
    );
    expect(codes.filter((code, i) => codes.indexOf(code) !== i)).toEqual([]);
    expect(codes.length).toBeGreaterThan(10);
  });

  it('names codes in lower case', () => {
    for (const [code] of entries) expect(code).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
  });
});

describe('GridError', () => {
  it('carries data first and makes its text from it', () => {
    const error = new GridError('workload_type_unsupported', { workload: 'a', type: 'qsfs', runs: ['zmount'] });
    expect(error).toMatchObject({ number: 2010, stage: 'deployment', fault: 'caller', retryable: false });
    expect(error.message).toBe(
      "this node does not run workloads of type 'qsfs' (workload 'a'); it runs zmount; " +
        'choose a node whose zos.system.node_features_get lists the type',
    );
    expect(isGridError(error, 'workload_type_unsupported')).toBe(true);
    expect(isGridError(error, 'workload_type_unknown')).toBe(false);
    expect(isGridError(new Error('x'))).toBe(false);
  });

  it('comes back from what crossed a wire, if this side knows it', () => {
    const error = new GridError('signature_weight', { required: 2, reached: 1 });
    const back = reviveError(error.code, JSON.parse(JSON.stringify(error.details)));
    expect(back?.message).toBe(error.message);
    expect(back?.details).toEqual(error.details);
    expect(reviveError('code_of_tomorrow', {})).toBeUndefined();
    expect(reviveError('signature_weight', { required: 'two' })).toBeUndefined();
    expect(reviveError('toString', {})).toBeUndefined();
  });
});
