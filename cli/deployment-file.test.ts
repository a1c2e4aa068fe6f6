import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Vector {
  name: string;
  kind?: string;
  deployment: object;
  upgrade_from?: object;
  pieces: [string, string][];
  hash_hex: string;
  challenge: string;
  message_to_sign_hex: string;
  signatures_sr25519_sample: object[];
  expect: { error: string };
}
const vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../test/vectors/deployment.json'), 'utf8')) as {
  keys: { twin_id: number; ed25519_public_key: string; sr25519_public_key: string }[];
  cases: Vector[];
  edge_cases: Vector[];
};
const named = (name: string) => [...vectors.cases, ...vectors.edge_cases].find((one) => one.name === name) as Vector;
const keys = vectors.keys.flatMap((key) => ['--twin-key', `${key.twin_id}=ed25519:${key.ed25519_public_key}`]);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-cli-deployment-'));
});
afterAll(() => rm(folder, { recursive: true }));

let files = 0;
async function fileOf(content: object | string): Promise<string> {
  const file = join(folder, `${files++}.json`);
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function gridnode(args: readonly string[], input = ''): Promise<Outcome> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { timeout: 60_000 });
  const parts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (part: string) => {
      parts[name] += part;
    });
  }
  // A program that does not read ends before the input does.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...parts, code }));
  });
}

describe('gridnode hash', { timeout: 120_000 }, () => {
  it('prints the hash, the challenge, or every piece with its path', async () => {
    const vector = named('storage_types');
    const file = await fileOf(vector.deployment);
    const [hash, challenge, explained, unread] = await Promise.all([
      gridnode(['hash', file]),
      gridnode(['hash', '-', '--challenge'], JSON.stringify(vector.deployment)),
      gridnode(['hash', file, '--explain']),
      gridnode(['hash', join(folder, 'none')]),
    ]);
    expect(hash).toEqual({ stdout: `${vector.hash_hex}\n`, stderr: '', code: 0 });
    expect(challenge).toEqual({ stdout: `${vector.challenge}\n`, stderr: '', code: 0 });
    const lines = explained.stdout.split('\n').slice(2);
    for (const [i, [path, text]] of vector.pieces.entries()) {
      const cells = (lines[i] ?? '').split(/ {2,}/);
      expect(cells.slice(0, 2)).toEqual([path, `${Buffer.byteLength(text)}`]);
      expect([text, JSON.stringify(text), undefined]).toContain(cells[2]);
    }
    expect(lines).toContain(`hash    ${vector.hash_hex}`);
    expect(lines).toContain(`signed  ${vector.message_to_sign_hex}`);
    expect(unread).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no such file') });
  });

  it('has both hashes of a light network', async () => {
    const { stdout } = await gridnode(['hash', await fileOf(named('light_vm_wireguard').deployment), '--explain']);
    expect(stdout).toContain(`hash    ${named('light_vm_wireguard').hash_hex}`);
    expect(stdout.match(/^hash {4}[0-9a-f]{32}$/gm)).toHaveLength(2);
    expect(stdout).toContain('before September 2025:');
  });
});

describe('gridnode validate', { timeout: 120_000 }, () => {
  const json = ({ stdout, code }: Outcome) => ({ ...(JSON.parse(stdout) as object), code });

  it('accepts what nodes accept, with keys of both kinds, and says what an update does', async () => {
    const vector = named('update_version_1');
    const [file, from] = await Promise.all([fileOf(vector.deployment), fileOf(vector.upgrade_from ?? {})]);
    const { signature_requirement: requirement } = vector.deployment as { signature_requirement: object };
    const sr25519 = { ...requirement, signatures: vector.signatures_sr25519_sample };
    const other = await fileOf({ ...vector.deployment, signature_requirement: sr25519 });
    const account = vectors.keys[0]?.sr25519_public_key;
    const outcomes = await Promise.all([
      gridnode(['validate', file, ...keys, '--upgrade-from', from, '--json']),
      gridnode(['validate', '-', '--json'], JSON.stringify(vector.deployment)),
      gridnode(['validate', other, '--twin-key', `17=sr25519:${account}`, '--json']),
    ]);
    for (const outcome of outcomes) expect(json(outcome)).toEqual({ ok: true, code: 0 });
    const { stdout } = await gridnode(['validate', file, ...keys, '--upgrade-from', from]);
    expect(stdout.trim().split('\n').sort()).toEqual(['add disk2', 'ok', 'remove log1', 'update disk1']);
  });

  it.each(['zmount_zero', 'sig_flipped', 'up_skip_version'])('says at which stage and why: %s', async (name) => {
    const edge = named(name);
    const upgrade = edge.upgrade_from === undefined ? [] : ['--upgrade-from', await fileOf(edge.upgrade_from)];
    // The update's own signature is not part of that case.
    const signers = edge.kind === 'verify' ? keys : [];
    const file = await fileOf(edge.deployment);
    const [outcome, text] = await Promise.all([
      gridnode(['validate', file, ...signers, ...upgrade, '--json']),
      gridnode(['validate', file, ...signers, ...upgrade]),
    ]);
    expect(json(outcome)).toMatchObject({ ok: false, stage: edge.kind, error: edge.expect.error, code: 1 });
    expect(text).toMatchObject({ stdout: `refused at stage ${edge.kind}: ${edge.expect.error}\n`, code: 1 });
  });

  it('says in JSON which workload and field is at fault, and what cannot be read', async () => {
    const { deployment } = named('network_zmount_zmachine') as { deployment: { workloads: object[] } };
    const workloads = deployment.workloads.map((workload) => ({ ...workload, data: {} }));
    const machine = { ...workloads[0], name: 'vm', type: 'zmachine', data: { compute_capacity: { cpu: 'two' } } };
    const outcomes = await Promise.all([
      gridnode(['validate', '-', '--json'], JSON.stringify({ ...deployment, workloads: [machine] })),
      gridnode(['validate', '-', '--json'], JSON.stringify({ ...deployment, workloads })),
      gridnode(['validate', '-', '--json'], JSON.stringify({ ...deployment, twin_id: 'x' })),
      gridnode(['validate', join(folder, 'none'), '--json']),
      gridnode(['validate', join(folder, 'none')]),
    ]);
    const [field, whole, outside, missing, told] = outcomes as [Outcome, Outcome, Outcome, Outcome, Outcome];
    const where = { workload: 'vm', path: 'workloads[0].data.compute_capacity.cpu' };
    expect(json(field)).toMatchObject({ stage: 'valid', where, error: expect.stringContaining('cannot unmarshal') });
    expect(json(whole)).toMatchObject({ stage: 'valid', where: { workload: 'net1', path: 'workloads[0]' } });
    expect(json(outside)).toMatchObject({ stage: 'valid', where: { path: 'twin_id' } });
    const error = `cannot read ${join(folder, 'none')}: there is no such file`;
    expect(json(missing)).toEqual({ ok: false, stage: 'file', error, code: 1 });
    expect(missing.stderr).toBe('');
    expect(told).toMatchObject({ stdout: '', stderr: expect.stringContaining(error), code: 1 });
  });

  it('names what it was not given', async () => {
    const file = await fileOf(named('network_only').deployment);
    const outcomes = await Promise.all([
      gridnode(['validate', file, '--twin-key', `9=ed25519:${'0'.repeat(64)}`, '--json']),
      gridnode(['validate', file]),
      gridnode(['validate', file, '--twin-key', '17=ed25519:zz']),
      gridnode(['validate']),
      gridnode(['validate', '-', '--upgrade-from', '-']),
    ]);
    const [keyless, unchecked, badKey, bare, twice] = outcomes as [Outcome, Outcome, Outcome, Outcome, Outcome];
    expect(json(keyless)).toMatchObject({
      stage: 'verify',
      error: expect.stringMatching(/^failed to get public key for twin '17': no --twin-key/),
    });
    expect(unchecked).toMatchObject({ code: 0, stdout: expect.stringContaining('signatures were not checked') });
    expect(badKey).toMatchObject({ code: 1, stderr: expect.stringContaining('write TWIN=ed25519:HEX') });
    expect(bare).toMatchObject({ code: 1, stderr: expect.stringContaining('usage: gridnode validate') });
    expect(twice.code).toBe(1);
  });

  it('refuses what is no deployment, and does not read what is too large', async () => {
    const huge = join(folder, 'huge.json');
    const handle = await open(huge, 'w');
    await handle.truncate(64 * 1024 * 1024);
    await handle.close();
    const [large, broken] = await Promise.all([
      gridnode(['validate', huge, '--json']),
      gridnode(['validate', '-', '--json'], '{"version":'),
    ]);
    expect(json(large)).toMatchObject({
      ok: false,
      stage: 'valid',
      code: 1,
      error: expect.stringContaining('67108864'),
    });
    expect(json(broken)).toMatchObject({ stage: 'valid', error: expect.stringContaining('not valid JSON') });
  });
});
