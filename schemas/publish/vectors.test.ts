/** Every published vector is true of this implementation, and of the form that its schema says. */
import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { verify as verifySr25519 } from '@scure/sr25519';
import { describe, expect, it } from 'vitest';
import {
  challenge,
  challengePieces,
  deploymentHash,
  deploymentNeeds,
  type Formula,
  formulasOf,
  GridError,
  matchingFormula,
  networkId,
  parseDeployment,
  planUpgrade,
  signedMessage,
  uniqueName,
  type VerifySignature,
  validateDeployment,
  verifySignatures,
} from '../index.ts';
import { ajv } from './published.ts';
import { type VectorFile, type Vectors, vectorFileNames } from './vectors.ts';

const published = (path: string) => JSON.parse(readFileSync(new URL(`../vectors/${path}`, import.meta.url), 'utf8'));
const vectors = <F extends VectorFile>(file: F): Vectors<F> => published(`${file}.json`);
const parse = (deployment: object) => parseDeployment(JSON.stringify(deployment));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function verifier(keys: Vectors<'challenge'>['keys']): VerifySignature {
  return async (twin, type, message, signature) => {
    const key = keys.find((known) => known.twin_id === twin);
    if (key === undefined) throw new Error('no such twin');
    if (signature.length !== 64) return false;
    if (type === 'sr25519') return verifySr25519(message, signature, Buffer.from(key.sr25519_public_key, 'hex'));
    const der = Buffer.from(`302a300506032b6570032100${key.ed25519_public_key}`, 'hex');
    return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
  };
}

/** The text nodes refuse with, `undefined` if they accept. */
async function refusal(check: () => unknown): Promise<string | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    if (error instanceof GridError) return error.message;
    throw error;
  }
}

it.each(vectorFileNames)('%s is what its schema says, and each case has a name of its own', (file) => {
  const validate = ajv.compile(published(`${file}.schema.json`));
  const { cases, description } = published(`${file}.json`) as { cases: { name?: string }[]; description: string };
  expect(validate(published(`${file}.json`)), JSON.stringify(validate.errors)).toBe(true);
  expect(description.length).toBeGreaterThan(20);
  expect(cases.length).toBeGreaterThan(2);
  const names = cases.flatMap(({ name = [] }) => name);
  expect(new Set(names).size).toBe(names.length);
});

describe('challenge', () => {
  const { keys, cases } = vectors('challenge');
  it.each(cases)('$name', async (vector) => {
    const deployment = parse(vector.deployment);
    expect(challengePieces(deployment)).toEqual(vector.pieces);
    expect(challenge(deployment)).toBe(vector.challenge);
    expect(deploymentHash(deployment)).toBe(vector.hash);
    expect(`0x${hex(Buffer.from(vector.hash))}`).toBe(vector.contract_hash);
    expect(hex(signedMessage(deployment))).toBe(vector.message);
    expect(deploymentNeeds(deployment)).toEqual(vector.needs);
    const check = verifier(keys);
    for (const { twin_id, signature, signature_type: type } of vector.signatures) {
      expect(await check(twin_id, type, signedMessage(deployment), Buffer.from(signature, 'hex'))).toBe(true);
    }
    expect(vector.signatures.length).toBeGreaterThan(1);
  });
});

/** Where a deployment has a value of each kind, and which piece of the challenge shows it. */
const normalised: Record<Vectors<'normalisation'>['cases'][number]['kind'], (given: string) => [string, string]> = {
  address: (ip) => [machine({ interfaces: [{ network: 'n', ip }] }), 'workloads[0].data.network.interfaces[0].ip'],
  hex: (hex_seed) => [machine({ mycelium: { hex_seed } }), 'workloads[0].data.network.mycelium.hex_seed'],
  prefix: (ip_range) => [
    JSON.stringify({ workloads: [{ name: 'n', type: 'network', data: { ip_range } }] }),
    'workloads[0].data.ip_range',
  ],
  time: (expiration) => [`{"expiration":${expiration}}`, 'expiration'],
};

function machine(network: object): string {
  return JSON.stringify({ workloads: [{ name: 'm', type: 'zmachine', data: { network } }] });
}

describe('normalisation', () => {
  it.each(vectors('normalisation').cases)('of $kind $given', async ({ kind, given, hashed }) => {
    const [text, piece] = normalised[kind](given);
    let found: string | undefined;
    const refused = await refusal(() => {
      found = challengePieces(parseDeployment(text)).find(([path]) => path === piece)?.[1];
    });
    expect(refused === undefined ? found : null).toBe(hashed);
  });
});

describe('light networks', () => {
  it.each(vectors('light-networks').cases)('$name', (vector) => {
    const deployment = parse(vector.deployment);
    expect(formulasOf(deployment)).toEqual(Object.keys(vector.hashes));
    for (const [formula, hash] of Object.entries(vector.hashes)) {
      expect(deploymentHash(deployment, formula as Formula)).toBe(hash);
    }
    expect(matchingFormula(deployment, vector.contract_hash) ?? null).toBe(vector.formula);
  });
});

it.each(vectors('ids').cases)('id $id of $kind', ({ kind, parts: [first = '', second = ''], md5_input, id }) => {
  expect(`${first}:${second}`).toBe(md5_input);
  expect(kind === 'network' ? networkId(Number(first), second) : uniqueName(first, second)).toBe(id);
});

describe('validation', () => {
  it.each(vectors('validation').cases)('$name', async ({ deployment, ok, error }) => {
    const said = await refusal(() => validateDeployment(parse(deployment)));
    expect([said === undefined, said]).toEqual([ok, error]);
  });
});

describe('signatures', () => {
  const { keys, cases } = vectors('signatures');
  it.each(cases)('$name', async ({ deployment, ok, error }) => {
    const said = await refusal(() => verifySignatures(parse(deployment), verifier(keys)));
    expect([said === undefined, said]).toEqual([ok, error]);
  });
});

describe('updates', () => {
  it.each(vectors('updates').cases)('$name', async ({ from, deployment, ok, error, operations = [] }) => {
    let found: string[] = [];
    const said = await refusal(() => {
      found = planUpgrade(parse(from), parse(deployment)).map(({ kind, workload }) => `${kind} ${workload}`);
    });
    expect([said === undefined, said]).toEqual([ok, error]);
    expect(found.sort()).toEqual(operations);
  });
});

describe('bad input', () => {
  it.each(vectors('bad-input').cases)('$name', async ({ parts, code, says }) => {
    const text = parts.map(([part, times]) => part.repeat(times)).join('');
    const said = await refusal(() => validateDeployment(parseDeployment(text))).catch(String);
    expect(said).toContain(says);
    expect(() => validateDeployment(parseDeployment(text))).toThrow(expect.objectContaining({ code }));
  });
});
