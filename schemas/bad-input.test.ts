import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { challenge, type GridError, isGridError, parseDeployment, validateDeployment, zmachine } from './index.ts';
import { badInputs } from './testing/bad-input.ts';
import { loadData } from './validate.ts';

function refusal(text: string | Uint8Array): GridError {
  try {
    validateDeployment(parseDeployment(text));
  } catch (error) {
    if (isGridError(error)) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('a deployment that is', () => {
  it.each(badInputs)('$name is refused by its place', ({ text, code, says }) => {
    const error = refusal(text());
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(says)]);
    expect(JSON.stringify([error.message, error.details]).length).toBeLessThan(2000);
  });

  it('any of these is refused in little memory', { timeout: 60_000 }, async () => {
    const path = (name: string) => JSON.stringify(join(import.meta.dirname, name));
    const program = `
      import { parseDeployment, validateDeployment } from ${path('index.ts')};
      import { badInputs } from ${path('testing/bad-input.ts')};
      let refused = 0;
      for (const { text } of badInputs) {
        const given = text();
        try { validateDeployment(parseDeployment(given)); } catch { refused++; }
      }
      console.log(refused);`;
    // Beside the largest text itself: twice what the largest accepted tree takes.
    const args = ['--max-old-space-size=192', '--input-type=module', '-e', program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
    expect(Number(stdout)).toBe(badInputs.length);
  });
});

describe('keys with a meaning in this language', () => {
  const env = '{"__proto__":"p","constructor":"c","toString":"t","a":"1","a":"2"}';
  const text = `{"__proto__":{"version":9},"workloads":[{"name":"a","type":"zmachine","__proto__":{"name":"b"},"data":{"network":{"interfaces":[{"network":"n","ip":"10.1.1.2"}]},"compute_capacity":{"cpu":1,"memory":1073741824},"env":${env}}}]}`;

  it('are keys like others', () => {
    const deployment = parseDeployment(text);
    validateDeployment(deployment);
    expect([deployment.version, deployment.workloads[0]?.name]).toEqual([0, 'a']);
    const [workload] = deployment.workloads;
    if (workload === undefined) throw new Error('no workload');
    const data = loadData(zmachine, workload);
    expect(Object.entries(data.env)).toHaveLength(4);
    expect(challenge(deployment)).toContain('__proto__=pa=2constructor=ctoString=t');
    expect(({} as { size?: unknown }).size).toBeUndefined();
  });

  it('have half a pair replaced in the challenge as nodes do', () => {
    const deployment = parseDeployment(text.replace('"a":"2"', '"z\\udc00":"\\ud800"'));
    expect(challenge(deployment)).toContain('z\ufffd=\ufffd');
  });
});
