import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type IdentityOptions,
  readIdentity,
  readKeyFile,
  refuseSecretArguments,
  writeKeyFile,
} from './identity-source.ts';
import { Identity, KeyError, keyTypes } from './keys.ts';

// The public sample phrase of the BIP39 word list.
const WORDS = `${'abandon '.repeat(11)}about`;
const HEX = randomBytes(32).toString('hex');
const NAME = 'GN_TEST_IDENTITY';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gn-identity-'));
});
afterAll(async () => {
  delete process.env[NAME];
  await rm(folder, { recursive: true, force: true });
});

const place = async (name: string, text: string, mode = 0o600): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, text, { mode });
  return path;
};
const refusal = async (options: IdentityOptions): Promise<string> => {
  const error: unknown = await readIdentity(options).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(KeyError);
  const text = inspect(error);
  expect(text).not.toContain(HEX);
  expect(text).not.toMatch(/abandon|about\b/);
  return (error as Error).message;
};
const asSet = (text: string): IdentityOptions => {
  process.env[NAME] = text;
  return { 'key-env': NAME };
};

describe('an identity', () => {
  for (const keyType of keyTypes) {
    it.each([
      ['words', WORDS],
      ['a hex seed', HEX],
      ['a hex seed with 0x', `0x${HEX}`],
    ])(`of ${keyType} comes from %s in a file, a variable or a descriptor`, async (_form, secret) => {
      const { publicKey } = await Identity.fromSecret(secret, keyType);
      const json = JSON.stringify({ keyType, secret });
      for (const text of [json, `${json}\n`, `${keyType}:${secret}`, ` ${keyType}:${secret}\n`]) {
        const path = await place('key', text);
        for (const options of [{ 'key-file': path }, asSet(text), { 'key-fd': `${openSync(path, 'r')}` }]) {
          const identity = await readIdentity(options);
          expect(identity.keyType).toBe(keyType);
          expect(identity.publicKey).toEqual(publicKey);
          expect(inspect(identity) + JSON.stringify(identity)).not.toContain(HEX);
        }
        expect(process.env[NAME]).toBeUndefined();
      }
    });
  }

  it('in a file is private, and refused when it is not', async () => {
    const path = join(folder, 'written.json');
    await writeKeyFile(path, { keyType: 'sr25519', secret: HEX });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await readKeyFile(path)).publicKey).toEqual((await Identity.fromSecret(HEX, 'sr25519')).publicKey);
    const open = await place('open.json', JSON.stringify({ keyType: 'sr25519', secret: HEX }), 0o644);
    expect(await refusal({ 'key-file': open })).toContain('mode 644');
    expect(await refusal({ 'key-fd': `${openSync(open, 'r')}` })).toContain('mode 644');
    await symlink(open, join(folder, 'link'));
    expect(await refusal({ 'key-file': join(folder, 'link') })).toContain('mode 644');
    expect(await refusal({ 'key-file': folder })).toContain('is not a file');
    await promisify(execFile)('mkfifo', ['-m', '600', join(folder, 'pipe')]);
    expect(await refusal({ 'key-file': join(folder, 'pipe') })).toContain('--key-fd');
  });

  it('is not taken from what is no key, and the secret is not repeated', async () => {
    for (const text of [
      `{"secret":"${HEX}"`,
      JSON.stringify({ keyType: 'rsa', secret: HEX }),
      JSON.stringify({ keyType: 'ed25519', secret: HEX, more: HEX }),
      HEX,
      WORDS,
      `ed25519:${HEX}00`,
      `sr25519:${WORDS} about`,
      `ed25519:0x${HEX.slice(2)}`,
      'ed25519:',
      HEX.repeat(100),
    ]) {
      const path = await place('bad', text);
      for (const options of [{ 'key-file': path }, asSet(text), { 'key-fd': `${openSync(path, 'r')}` }]) {
        expect(await refusal(options)).not.toBe('');
      }
    }
    expect(await refusal(asSet(''))).toContain('is not set');
    expect(await refusal({ 'key-env': 'GN_TEST_NOT_SET' })).toContain('GN_TEST_NOT_SET is not set');
    expect(await refusal({ 'key-fd': '977' })).toContain('not open');
    expect(await refusal({ 'key-fd': `${openSync('/dev/zero', 'r')}` })).toContain('device');
    for (const fd of ['1', '2', '-1', 'three', '']) {
      expect(await refusal({ 'key-fd': fd })).toContain('--key-fd takes the number');
    }
  });

  it('is asked for in exactly one way, and a secret in its place is not repeated', async () => {
    expect(await refusal({})).toContain('--key-file FILE, --key-env NAME, --key-fd NUMBER');
    expect(await refusal({ 'key-file': 'a', 'key-env': 'b' })).toContain('one of');
    for (const name of ['key-file', 'key-env', 'key-fd']) {
      for (const secret of [HEX, `0x${HEX}`, WORDS, `ed25519:${HEX}`, ` sr25519:${WORDS}`]) {
        expect(await refusal({ [name]: secret })).toContain('no place for a secret');
      }
    }
  });

  it('comes through a pipe from another program, and the program that reads it has it closed', async () => {
    const script = `
      import { fstatSync } from 'node:fs';
      import { readIdentity } from ${JSON.stringify(join(import.meta.dirname, 'identity-source.ts'))};
      const identity = await readIdentity({ 'key-fd': process.argv[1] });
      let open = true;
      try { fstatSync(Number(process.argv[1])); } catch { open = false; }
      console.log(JSON.stringify({ identity, open }));`;
    for (const fd of [0, 3]) {
      const stdio =
        fd === 0 ? (['pipe', 'pipe', 'inherit'] as const) : (['ignore', 'pipe', 'inherit', 'pipe'] as const);
      const child = spawn(process.execPath, ['--input-type=module', '-e', script, `${fd}`], { stdio: [...stdio] });
      let output = '';
      child.stdout?.on('data', (data: Buffer) => {
        output += data.toString();
      });
      const pipe = child.stdio[fd] as NodeJS.WritableStream;
      pipe.write('sr25519:');
      pipe.end(`${HEX}\n`);
      const [code] = (await once(child, 'exit')) as [number];
      expect(code).toBe(0);
      const expected = await Identity.fromSecret(HEX, 'sr25519');
      expect(JSON.parse(output).identity).toEqual(JSON.parse(JSON.stringify(expected)));
      if (fd === 3) expect(JSON.parse(output).open).toBe(false);
    }
  });
});

describe('arguments', () => {
  it.each([
    [['--key', HEX]],
    [['--seed=x']],
    [['--mnemonic', WORDS]],
    [['--mnemonics', 'a']],
    [['-m', WORDS]],
    [['--relay', 'ws://localhost', `0x${HEX}`]],
    [['--relay', WORDS]],
    [[`--relay=${HEX}`]],
    [['--key-file', `ed25519:${HEX}`]],
    [WORDS.split(' ')],
    [['--key-file', ...WORDS.split(' ')]],
  ])('with a secret are refused, without repeating it (%#)', (argv) => {
    let text = '';
    try {
      refuseSecretArguments(argv, ['genesis']);
    } catch (error) {
      text = inspect(error);
    }
    expect(text).toContain('no place for a secret');
    expect(text).toContain('--key-env NAME');
    expect(text).not.toMatch(new RegExp(`${HEX}|abandon|about\\b`));
  });

  it('of an honest command line pass', () => {
    refuseSecretArguments(
      [
        '--key-file',
        '/keys/node.json',
        '--genesis',
        `0x${HEX}`,
        `--genesis=${HEX}`,
        '--relay',
        'wss://a.example',
        'up',
      ],
      ['genesis'],
    );
  });
});
