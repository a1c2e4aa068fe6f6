import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { verify as verifySr25519 } from '@scure/sr25519';
import { describe, expect, it } from 'vitest';
import {
  challenge,
  challengePieces,
  Deployment,
  deploymentHash,
  deploymentNeeds,
  formulasOf,
  GridError,
  matchingFormula,
  networkId,
  type Operation,
  parseDeployment,
  planUpgrade,
  signedMessage,
  uniqueName,
  type VerifySignature,
  validateDeployment,
  verifySignatures,
  workloadNeeds,
} from './index.ts';

interface Case {
  name: string;
  deployment: { workloads: { name: string; type: string }[]; signature_requirement: object };
  challenge: string;
  pieces: [string, string][];
  challenge_bytes_length: number;
  hash_hex: string;
  message_to_sign_hex: string;
  signatures_sr25519_sample: object[];
  node_capacity: object;
  node_capacity_per_workload: Record<string, object>;
  chain_deployment_hash: string;
  upgrade_from?: object;
  upgrade?: { result: string; operations: string[] };
}
interface EdgeCase {
  name: string;
  kind: 'valid' | 'verify' | 'upgrade';
  deployment: Case['deployment'];
  upgrade_from?: object;
  expect: { ok?: true; error?: string; operations?: string[] };
}
const vectors = JSON.parse(readFileSync(new URL('../test/vectors/deployment.json', import.meta.url), 'utf8')) as {
  keys: { twin_id: number; ed25519_public_key: string; sr25519_public_key: string }[];
  ids: { kind: string; twin_id: number; name: string; workload_id: string; n: string; id: string }[];
  cases: Case[];
  edge_cases: EdgeCase[];
};

const parse = (deployment: object) => parseDeployment(JSON.stringify(deployment));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const verifyWithKeys: VerifySignature = async (twin, type, message, signature) => {
  const key = vectors.keys.find((known) => known.twin_id === twin);
  if (key === undefined) throw new Error('no such twin');
  if (signature.length !== 64) return false;
  if (type === 'sr25519') return verifySr25519(message, signature, Buffer.from(key.sr25519_public_key, 'hex'));
  const der = Buffer.concat([
    Buffer.from('302a300506032b6570032100', 'hex'),
    Buffer.from(key.ed25519_public_key, 'hex'),
  ]);
  return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
};

/** The outcome nodes give: `ok` or the exact text. */
async function outcome(check: () => unknown): Promise<string> {
  try {
    await check();
    return 'ok';
  } catch (error) {
    if (error instanceof GridError) return error.message;
    throw error;
  }
}

const listed = (operations: readonly Operation[]) =>
  operations.map(({ kind, workload }) => `${kind} ${workload}`).sort();

describe('cases', () => {
  for (const vector of vectors.cases) {
    it(`${vector.name}: structure, needs, challenge, hash, message and both kinds of signature`, async () => {
      const deployment = parse(vector.deployment);
      validateDeployment(deployment);
      expect(Deployment.parse(deployment)).toEqual(deployment);
      for (const workload of deployment.workloads) {
        expect(workloadNeeds(workload)).toEqual(vector.node_capacity_per_workload[workload.name]);
      }
      expect(deploymentNeeds(deployment)).toEqual(vector.node_capacity);
      expect(challengePieces(deployment)).toEqual(vector.pieces);
      expect(challenge(deployment)).toBe(vector.challenge);
      expect(Buffer.byteLength(challenge(deployment))).toBe(vector.challenge_bytes_length);
      expect(deploymentHash(deployment)).toBe(vector.hash_hex);
      expect(matchingFormula(deployment, vector.hash_hex)).toBe('current');
      expect(`0x${hex(Buffer.from(deploymentHash(deployment)))}`).toBe(vector.chain_deployment_hash);
      expect(hex(signedMessage(deployment))).toBe(vector.message_to_sign_hex);
      expect(await verifySignatures(deployment, verifyWithKeys)).toBe('current');
      const requirement = { ...vector.deployment.signature_requirement, signatures: vector.signatures_sr25519_sample };
      await verifySignatures(parse({ ...vector.deployment, signature_requirement: requirement }), verifyWithKeys);
      if (vector.upgrade_from === undefined) return;
      expect(vector.upgrade?.result).toBe('ok');
      expect(listed(planUpgrade(parse(vector.upgrade_from), deployment))).toEqual(vector.upgrade?.operations);
    });
  }
});

describe('edge cases', () => {
  for (const { name, kind, deployment, upgrade_from = {}, expect: expected } of vectors.edge_cases) {
    it(`${kind} ${name}`, async () => {
      const parsed = parse(deployment);
      let operations: Operation[] = [];
      const said = await outcome(() => {
        if (kind === 'valid') return validateDeployment(parsed);
        if (kind === 'verify') return verifySignatures(parsed, verifyWithKeys);
        operations = planUpgrade(parse(upgrade_from), parsed);
        return undefined;
      });
      expect(said).toBe(expected.ok ? 'ok' : expected.error);
      expect(listed(operations)).toEqual(expected.operations ?? []);
    });
  }

  it('are all of them', () => {
    expect(vectors.cases.length).toBeGreaterThanOrEqual(16);
    expect(vectors.edge_cases.length).toBeGreaterThanOrEqual(70);
  });
});

/** Hashes that the existing software of both ages has for a network without WireGuard. */
describe('a light network of an older client', () => {
  const data = { subnet: '10.20.2.0/24', mycelium: { hex_key: 'AB'.repeat(32), peers: null } };
  const light = parse({ workloads: [{ name: 'net1', type: 'network-light', data }] } as never);
  const older = deploymentHash(light, 'before-wireguard');

  it('has the hashes of nodes before and after the change', () => {
    const mycelium = { hex_key: '9751c596c7c951aedad1a5f78f18b59515064adf660e0d55abead65e6fbbd627', peers: [] };
    const known = parse({
      version: 0,
      twin_id: 17,
      signature_requirement: { requests: [{ twin_id: 17, required: false, weight: 1 }], weight_required: 1 },
      workloads: [{ version: 0, name: 'net1', type: 'network-light', data: { subnet: '10.20.2.0/24', mycelium } }],
    });
    expect(formulasOf(known).map((formula) => deploymentHash(known, formula))).toEqual([
      '5a9e73f88a77b7a6f56534440acbdaed',
      'fe89e83d45e6e6c8919cd3296ead6867',
    ]);
  });

  it('has a hash by either formula, and it is told which one', () => {
    expect(challenge(light)).toBe(`0000net1network-light<nil>10.20.2.0/240${'ab'.repeat(32)}0`);
    expect(challenge(light, 'before-wireguard')).toBe(`0000net1network-light10.20.2.0/24${'ab'.repeat(32)}0`);
    expect(formulasOf(light)).toEqual(['current', 'before-wireguard']);
    expect(matchingFormula(light, deploymentHash(light))).toBe('current');
    expect(matchingFormula(light, older)).toBe('before-wireguard');
    expect(matchingFormula(light, '0'.repeat(32))).toBeUndefined();
  });

  it('may be signed by either', async () => {
    const signed = { ...light, twin_id: 0, signature_requirement: { ...light.signature_requirement } };
    signed.signature_requirement.requests = [{ twin_id: 0, required: false, weight: 1 }];
    signed.signature_requirement.signatures = [{ twin_id: 0, signature: '', signature_type: '' }];
    for (const formula of formulasOf(signed)) {
      const message = hex(signedMessage(signed, formula));
      expect(await verifySignatures(signed, async (_twin, _type, asked) => hex(asked) === message)).toBe(formula);
    }
    expect(await outcome(() => verifySignatures(signed, async () => false))).toBe('failed to verify signature');
  });
});

describe('ids', () => {
  for (const { kind, twin_id, name, workload_id, n, id } of vectors.ids) {
    it(`${kind} ${id}`, () => {
      expect(kind === 'network' ? networkId(twin_id, name) : uniqueName(workload_id, n)).toBe(id);
    });
  }

  it('names of devices', () => {
    expect(networkId(35, 'mynet')).toBe('8SX12nxnWotTr');
    expect(uniqueName('35-1001-vm1', 'mynet')).toBe('LAKs1wHWHxCa9');
    expect(uniqueName('35-1001-vm1', 'ygg')).toBe('MxZEAqH6KPNAJ');
    expect(uniqueName('35-1001-vm1', 'mycelium')).toBe('93BkajgnPmGD5');
    expect(uniqueName('35-1001-ip1', 'pub')).toBe('7fgsra7TWcXJF');
  });
});
