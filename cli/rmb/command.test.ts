import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEnvelope, encodeEnvelope } from '../../gateway/rmb/index.ts';

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../../test/vectors/rmb.json'), 'utf8'));
const named = (list: { name: string }[], name: string) => list.find((vector) => vector.name === name) as never;
const plain = named(vectors.envelopes, 'request-plain-ed25519') as Record<string, string>;
const token = named(vectors.jwt, 'jwt-go-ed25519-session') as Record<string, string>;
const hex = plain.envelope_hex ?? '';
const key = `7=ed25519:${plain.account_public_hex}`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-cli-rmb-'));
});
afterAll(() => rm(folder, { recursive: true }));

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function gridnode(args: readonly string[], input: string | Uint8Array = ''): Promise<Outcome> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../main.ts'), ...args], { timeout: 60_000 });
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

describe('gridnode envelope', { timeout: 120_000 }, () => {
  it('shows fields, pieces, challenge and verdict, from hex, a file of bytes, a file of hex and standard input', async () => {
    const bytesFile = join(folder, 'envelope.bin');
    const hexFile = join(folder, 'envelope.hex');
    await writeFile(bytesFile, Buffer.from(hex, 'hex'));
    await writeFile(hexFile, `0x${hex.slice(0, 64)}\n${hex.slice(64).toUpperCase()}\n`);
    const outcomes = await Promise.all([
      gridnode(['envelope', hex, '--twin-key', key]),
      gridnode(['envelope', bytesFile, '--twin-key', key]),
      gridnode(['envelope', hexFile, '--twin-key', key]),
      gridnode(['envelope', '-', '--twin-key', key], Buffer.from(hex, 'hex')),
    ]);
    const [first = { stdout: '', stderr: '', code: null }] = outcomes;
    const timeless = (text: string) => text.replaceAll(/\d+ s (ago|earlier)|clock says \d+/g, '');
    for (const { stdout, stderr, code } of outcomes) {
      expect([stderr, code]).toEqual(['', 0]);
      expect(timeless(stdout)).toBe(timeless(first.stdout));
    }
    expect(first.stdout).toMatch(/^kind +request zos\.system\.version$/m);
    expect(first.stdout).toMatch(/^from +7:test_client$/m);
    expect(first.stdout).toMatch(/^challenge +fb3bd275a4392045a63c86c2f10ffb0c$/m);
    expect(first.stdout).toMatch(/^signature +ed25519, verified with the key of twin 7$/m);
    expect(first.stdout).toMatch(/^source\.connection +11 +test_client$/m);
    expect(first.stdout).toMatch(/^plain +4 +null$/m);
    expect(first.stdout).toContain('message has expired');
  });

  it('as JSON has the pieces that make the challenge, of every kind of message', async () => {
    const some = ['request-cipher-ed25519-go-style', 'error-from-peer-ed25519', 'response-cipher-ed25519'];
    const outcomes = await Promise.all(
      some.map((name) =>
        gridnode(['envelope', (named(vectors.envelopes, name) as Record<string, string>).envelope_hex ?? '', '--json']),
      ),
    );
    for (const [index, { stdout, code }] of outcomes.entries()) {
      const vector = named(vectors.envelopes, some[index] ?? '') as Record<string, string>;
      const report = JSON.parse(stdout);
      expect(code).toBe(0);
      expect(report.signature).toMatchObject({ state: 'unchecked' });
      expect(report.challenge).toBe(vector.challenge_md5_hex);
      const pieces = Buffer.from(report.pieces.map((piece: { hex: string }) => piece.hex).join(''), 'hex');
      expect(pieces.toString('hex')).toBe(vector.challenge_preimage_hex);
      expect(createHash('md5').update(pieces).digest('hex')).toBe(report.challenge);
    }
  });

  it('says why a signature is not believed', async () => {
    const cases: [name: string, reason: string][] = [
      ['unsigned', 'message is not signed'],
      ['flipped-bit', 'ed25519 signature verification failed'],
    ];
    const outcomes = await Promise.all(
      cases.map(([name]) => {
        const vector = named(vectors.negative, name) as Record<string, string>;
        const source = JSON.parse(JSON.stringify(vectors.envelopes[0].fields.source)).twin;
        return gridnode([
          'envelope',
          vector.envelope_hex ?? '',
          `--twin-key=${source}=sr25519:${vector.account_public_hex}`,
        ]);
      }),
    );
    for (const [index, { stdout, code }] of outcomes.entries()) {
      expect(code).toBe(1);
      expect(stdout).toContain(cases[index]?.[1]);
    }
    expect(outcomes[1]?.stdout).toContain('the key of twin 7 was given as sr25519');
  });

  it('says where bad input goes wrong', async () => {
    const cases: [args: string[], input: string, text: string][] = [
      [
        [hex.slice(0, 200)],
        '',
        'field 9 at byte 90 is cut off: it reaches to byte 157, there are 100 (100 bytes in all)',
      ],
      [[`${hex.slice(0, 20)}zz`], '', 'neither a file nor hex digits (hex digits end at character 20: z)'],
      [['123'], '', '3 hex digits are no whole bytes'],
      [['-'], '', 'standard input is empty'],
      [[hex, '--twin-key', '7=rsa:00'], '', 'write TWIN=ed25519:HEX'],
      [[], '', 'usage: gridnode envelope'],
    ];
    const outcomes = await Promise.all(cases.map(([args, input]) => gridnode(['envelope', ...args], input)));
    for (const [index, { stderr, code }] of outcomes.entries()) {
      expect(stderr).toContain(cases[index]?.[2]);
      expect(code).toBe(1);
    }
    const { stdout, code } = await gridnode(['envelope', 'ff', '--json']);
    expect([JSON.parse(stdout), code]).toEqual([{ sizeBytes: 1, problem: expect.stringContaining('at byte 0') }, 1]);
  });

  it('lets no escape codes of a stranger through to the terminal', async () => {
    const envelope = createEnvelope({ uid: '\u001b[2J\u009bx', tags: 'a\u202eb', timestamp: 2n ** 60n });
    const { stdout, code } = await gridnode(['envelope', Buffer.from(encodeEnvelope(envelope)).toString('hex')]);
    expect(code).toBe(1);
    expect(stdout).toContain('[2J');
    for (const letter of ['\u001b', '\u009b', '\u202e']) expect(stdout).not.toContain(letter);
  });
});

describe('gridnode token', { timeout: 120_000 }, () => {
  it('shows a token of a file, of standard input and of an address, but not its signature', async () => {
    const file = join(folder, 'token');
    await writeFile(file, `${token.token}\n`);
    const account = `--twin-key=17=ed25519:${token.account_public_hex}`;
    const outcomes = await Promise.all([
      gridnode(['token', file, account]),
      gridnode(['token', '-', account], `wss://relay.example/?${token.token}`),
      gridnode(['token', '-', '--json'], token.token),
    ]);
    for (const { stdout, code } of outcomes) {
      expect(code).toBe(0);
      expect(stdout).not.toContain(token.token?.split('.')[2]);
    }
    expect(outcomes[0]?.stdout).toMatch(/^signature +ed25519, verified with the key of twin 17$/m);
    expect(outcomes[1]?.stdout).toMatch(/^expires +1700000060 \(2023-11-14T22:14:20Z\), expired \d+ s ago$/m);
    expect(JSON.parse(outcomes[2]?.stdout ?? '')).toMatchObject({
      header: { alg: 'RS512', typ: 'JWT' },
      claims: { exp: 1700000060, iat: 1700000000, sid: 'node-a', sub: 17 },
      signed: token.token?.slice(0, token.token.lastIndexOf('.')),
      signature: { state: 'unchecked', keyType: 'ed25519', twin: 17 },
    });
  });

  it('says in the words of relays what is no token, and tells in its help that a token is a secret', async () => {
    const [header, claims, signature] = token.token?.split('.') ?? [];
    const [bad, wrong, help] = await Promise.all([
      gridnode(['token', '-'], `${header}.${claims}=.${signature}`),
      gridnode(['token', '-', '--twin-key', `17=ed25519:${plain.account_public_hex}`], token.token),
      gridnode(['token', '--help']),
    ]);
    expect(bad.stdout).toContain('invalid jwt: jwt: Base64 error');
    expect(wrong.stdout).toContain('ed25519 signature verification failed');
    expect([bad.code, wrong.code, help.code]).toEqual([1, 1, 0]);
    expect(help.stdout).toMatch(/a secret while\s+it lives/);
  });
});
