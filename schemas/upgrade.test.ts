import { describe, expect, it } from 'vitest';
import {
  type Change,
  changeOf,
  type Deployment,
  isGridError,
  parseDeployment,
  planUpgrade,
  workloadType,
  workloadTypeNames,
} from './index.ts';

interface Given {
  name: string;
  type: string;
  version?: number;
  data?: object;
  result?: { state: string };
}
const parse = (version: number, ...workloads: Given[]): Deployment =>
  parseDeployment(JSON.stringify({ version, twin_id: 1, contract_id: 2, workloads }), { results: 'keep' });

const disk = (size: number, fields: Partial<Given> = {}): Given => ({
  name: 'disk',
  type: 'zmount',
  data: { size },
  ...fields,
});
const machine = (fields: Partial<Given> = {}): Given => ({
  name: 'vm',
  type: 'zmachine',
  data: {
    network: { interfaces: [{ network: 'net', ip: '10.1.1.2' }] },
    compute_capacity: { cpu: 1, memory: 2 ** 30 },
    mounts: [{ name: 'disk', mountpoint: '/data' }],
  },
  ...fields,
});

describe('planUpgrade', () => {
  it('refuses to change a type in place that can not', () => {
    const from = parse(0, machine(), disk(1));
    expect(() => planUpgrade(from, parse(1, machine({ version: 1 }), disk(1)))).toThrow(
      "workload 'zmachine' does not support upgrade: upgrade validation error",
    );
    expect(planUpgrade(from, parse(1, machine(), disk(2, { version: 1 })))).toEqual([
      { kind: 'update', workload: 'disk' },
    ]);
  });

  it('checks the new deployment itself first', () => {
    expect(() => planUpgrade(parse(0), parse(5, disk(0)))).toThrow('invalid size');
  });

  it('takes another order, and removes what is gone', () => {
    const from = parse(0, disk(1), machine());
    expect(planUpgrade(from, parse(1, machine(), disk(1)))).toEqual([]);
    expect(planUpgrade(from, parse(1))).toEqual([
      { kind: 'remove', workload: 'disk' },
      { kind: 'remove', workload: 'vm' },
    ]);
  });

  it('names the versions', () => {
    try {
      planUpgrade(parse(3), parse(3));
    } catch (error) {
      expect(isGridError(error, 'upgrade_version') && error.details).toEqual({ expected: 4, actual: 3 });
      return;
    }
    throw new Error('was accepted');
  });
});

describe('changeOf', () => {
  const of = (running: Given[], to: Given): Change | undefined => {
    const [workload] = parse(1, to).workloads;
    if (workload === undefined) throw new Error('no workload');
    return changeOf(parse(0, ...running), workload);
  };

  it('grows a disk that no machine holds', () => {
    const running = machine({ result: { state: 'ok' } });
    expect(of([disk(2)], disk(2))).toEqual({ kind: 'nothing' });
    expect(of([disk(2)], disk(3))).toEqual({ kind: 'apply' });
    expect(of([disk(2)], disk(1))).toEqual({ kind: 'unchanged', reason: 'not safe to shrink a disk' });
    expect(of([disk(2), running], disk(3))).toEqual({
      kind: 'unchanged',
      reason: 'disk is mounted, please delete the VM first',
    });
    expect(of([disk(2), machine({ result: { state: 'error' } })], disk(3))).toEqual({ kind: 'apply' });
    // Nodes look at full machines only.
    expect(of([disk(2), { ...running, type: 'zmachine-light' }], disk(3))).toEqual({ kind: 'apply' });
  });

  it('gives up a volume that would shrink', () => {
    const volume = (size: number) => disk(size, { type: 'volume' });
    expect(of([volume(2)], volume(2))).toEqual({ kind: 'apply' });
    expect(of([volume(2)], volume(1))).toEqual({
      kind: 'error',
      reason: 'cannot shrink volume to be less than provisioned space. old: 2, requested: 1',
    });
  });

  it('keeps the mode and the size of a namespace', () => {
    const zdb = (data: object) => disk(0, { type: 'zdb', data: { size: 2, mode: 'seq', ...data } });
    expect(of([zdb({})], zdb({}))).toEqual({ kind: 'nothing' });
    expect(of([zdb({})], zdb({ password: 'p' }))).toEqual({ kind: 'apply' });
    expect(of([zdb({})], zdb({ mode: 'user', size: 1 }))).toMatchObject({ reason: 'cannot change namespace mode' });
    expect(of([zdb({})], zdb({ size: 1 }))).toMatchObject({ reason: 'cannot shrink zdb namespace' });
  });

  it('has no answer for what does not run or can not change', () => {
    expect(of([], disk(1))).toBeUndefined();
    expect(of([disk(1, { type: 'volume' })], disk(1))).toBeUndefined();
    expect(of([machine()], machine())).toBeUndefined();
    const changing = workloadTypeNames.filter((name) => workloadType(name).change !== undefined);
    expect(changing.sort()).toEqual(['network', 'network-light', 'qsfs', 'volume', 'zdb', 'zmount']);
  });
});
