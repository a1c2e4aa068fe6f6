/** Data read along with its deployment must come to what it comes to when its text is read alone. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { challenge, challengePieces } from './challenge.ts';
import { formatDeployment, parseDeployment, type Workload } from './deployment.ts';
import { GridError } from './errors/index.ts';
import { loadData } from './validate.ts';
import { workloadType } from './workloads/index.ts';

interface Vector {
  readonly name: string;
  readonly deployment: { readonly workloads: readonly Partial<Workload>[] };
}
const { cases } = JSON.parse(readFileSync(new URL('../test/vectors/deployment.json', import.meta.url), 'utf8')) as {
  cases: readonly Vector[];
};

/** Everything Go reads in its own way, and what it refuses. */
const oddData: readonly (readonly [type: string, text: string])[] = [
  ['zmount', '{ "size" :\t1073741824\n }'],
  ['zmount', '{"SIZE":1e1}'],
  ['zmount', '{"ſize":7,"unknown":{"deep":[1,{"size":3}]}}'],
  ['zmount', '{"size":1,"size":null}'],
  ['zmount', '{"size":18446744073709551615}'],
  ['zmount', '{"size":18446744073709551616}'],
  ['zmount', '{"size":-1}'],
  ['zmount', '{"size":"1"}'],
  ['zmount', 'null'],
  ['zmount', '[1]'],
  ['zmount', '"\\ud800 text"'],
  ['zmount', '-0'],
  ['zdb', '{"password":"\\ud800\\u0000é😀","mode":"seq","size":1,"public":true}'],
  ['zdb', '{"public":"yes"}'],
  ['network', '{"peers":[{"subnet":"10.1.0.0/016"}]}'],
  ['network', '{"mycelium":{"hex_key":"AB"},"mycelium":{"peers":["a"]},"subnet":"2001:DB8::/32"}'],
  ['network', '{"mycelium":{"hex_key":"ab"},"mycelium":null}'],
  ['network', '{"peers":[{"allowed_ips":["10.0.0.0/8",""]}],"peers":[]}'],
  ['zmachine', '{"env":{"b":"1","__proto__":"x","B":null},"network":{"interfaces":[{"ip":"::FFFF:1.2.3.4"}]}}'],
  ['zmachine', '{"compute_capacity":{"cpu":256}}'],
  ['zmachine', '{"compute_capacity":{"cpu":1},"compute_capacity":{"memory":2},"gpu":null,"mounts":[null]}'],
  ['no-such-type', '{"size":1}'],
];

/** A deployment of one workload, its members in the order given. */
function textOf(...members: readonly string[]): string {
  const signatures = '"signature_requirement":{"requests":[],"weight_required":0,"signatures":[]}';
  return `{"version":0,"twin_id":1,${signatures},"workloads":[{"name":"one",${members.join(',')}}]}`;
}

function only(text: string): Workload {
  const [workload] = parseDeployment(text).workloads;
  if (workload === undefined) throw new Error('no workload was read');
  return workload;
}

/** What a workload's data says, or why it is refused. */
function loadedOf(workload: Workload): unknown {
  try {
    return loadData(workloadType(workload.type, workload.name), workload);
  } catch (error) {
    if (!(error instanceof GridError)) throw error;
    return { code: error.code, details: error.details, message: error.message };
  }
}

/** A workload of which nothing is remembered. */
const forgotten = (workload: Workload): Workload => ({ ...workload });

describe('data of a workload', () => {
  it.each(oddData)('of type %s is the same read along and read alone: %s', (type, data) => {
    const before = only(textOf(`"type":"${type}"`, `"data":${data}`));
    const behind = only(textOf(`"data":${data}`, `"type":"${type}"`));
    expect(before.data).toBe(data);
    expect(before).toStrictEqual(behind);
    expect(loadedOf(before)).toStrictEqual(loadedOf(behind));
    expect(loadedOf(before)).toStrictEqual(loadedOf(forgotten(before)));
  });

  it('is of the type and the text that came last', () => {
    const [size, v4] = ['"data":{"size":1}', '"data":{"v4":true}'];
    for (const text of [
      textOf('"type":"zmount"', size, '"type":"ip"', v4),
      textOf('"type":"zmount"', size, v4, '"type":"ip"'),
      textOf(size, '"type":"zmount"', v4, '"type":"ip"'),
      textOf('"type":"zmount"', '"data":{"size":"x"}', '"type":"ip"', v4),
    ]) {
      expect(loadedOf(only(text))).toStrictEqual({ v4: true, v6: false });
    }
  });

  it('that is no JSON is refused with the place in the whole text', () => {
    for (const data of ['{"size":"x","size":01}', '{"size":1', '{"size":[1,{"a"}]}']) {
      const text = textOf('"type":"zmount"', `"data":${data}`);
      const other = textOf('"kind":"zmount"', `"data":${data}`);
      const refusal = (from: string): string => {
        try {
          parseDeployment(from);
        } catch (error) {
          if (error instanceof GridError) return `${error.code}: ${error.message}`;
        }
        throw new Error('it was read');
      };
      expect(refusal(text)).toBe(refusal(other));
      expect(refusal(text)).toMatch(/^deployment_syntax/);
    }
  });

  it.each(cases)('$name says the same, whether or not it is remembered', ({ deployment }) => {
    const text = JSON.stringify(deployment);
    const read = parseDeployment(text);
    for (const [i, workload] of read.workloads.entries()) {
      expect(workload.data).toBe(JSON.stringify(deployment.workloads[i]?.data));
      expect(loadedOf(workload)).toStrictEqual(loadedOf(forgotten(workload)));
    }
    const again = parseDeployment(formatDeployment(read));
    expect(again).toStrictEqual(read);
    const plain = { ...read, workloads: read.workloads.map(forgotten) };
    const pieces = challengePieces(plain).map(([, piece]) => piece);
    expect(challenge(read)).toBe(pieces.join(''));
    expect(challenge(plain)).toBe(challenge(read));
  });
});
