import { describe, expect, it } from 'vitest';
import { GridError, MAX_SIGNATURE_REQUESTS, parseDeployment, signedMessage, verifySignatures } from './index.ts';

const good = 'ab'.repeat(64);
const bad = 'cd'.repeat(64);

interface Requirement {
  requests: { twin_id: number; required?: boolean; weight?: number }[];
  weight_required?: number;
  signatures?: { twin_id: number; signature: string; signature_type?: string }[] | null;
  signature_style?: string;
}

const deployment = (signature_requirement: Requirement) =>
  parseDeployment(JSON.stringify({ twin_id: 1, signature_requirement, workloads: [] }));

async function outcome(requirement: Requirement, failing?: Error): Promise<string> {
  try {
    await verifySignatures(deployment(requirement), async (_twin, _type, _message, signature) => {
      if (failing) throw failing;
      return Buffer.from(signature).toString('hex') === good;
    });
    return 'ok';
  } catch (error) {
    if (error instanceof GridError) return error.message;
    throw error;
  }
}
const signed = (...twins: number[]) => twins.map((twin_id) => ({ twin_id, signature: good }));

describe('verifySignatures', () => {
  it('needs the originator, asked for or not', async () => {
    expect(await outcome({ requests: [{ twin_id: 1 }], signatures: signed(1) })).toBe('ok');
    expect(await outcome({ requests: [{ twin_id: 1 }], signatures: null })).toBe(
      "missing required signature for twin '1'",
    );
    expect(await outcome({ requests: [{ twin_id: 2 }], signatures: signed(1, 2) })).toBe(
      'originator twin id must be in the signature requests',
    );
    expect(await outcome({ requests: [] })).toBe('originator twin id must be in the signature requests');
  });

  it('adds the weights of all who sign', async () => {
    const requests = [
      { twin_id: 1, weight: 1 },
      { twin_id: 2, weight: 1 },
      { twin_id: 3, weight: 1 },
    ];
    expect(await outcome({ requests, weight_required: 3, signatures: signed(1, 2, 3) })).toBe('ok');
    expect(await outcome({ requests, weight_required: 4, signatures: signed(1, 2, 3) })).toBe(
      'required signature weight is not reached',
    );
  });

  it('refuses an optional signature that is wrong or absent', async () => {
    const requests = [{ twin_id: 1 }, { twin_id: 2 }];
    expect(await outcome({ requests, signatures: signed(1) })).toBe('failed to verify signature');
    const signatures = [...signed(1), { twin_id: 2, signature: bad }];
    expect(await outcome({ requests, signatures })).toBe('failed to verify signature');
    expect(await outcome({ requests, signatures: [...signed(1), { twin_id: 2, signature: '' }] })).toBe(
      'failed to verify signature',
    );
  });

  it('W27: where absent signers are skipped, two of three are enough, and a wrong signature is not', async () => {
    const requests = [1, 2, 3].map((twin_id) => ({ twin_id, weight: 1 }));
    const skipping = (signatures: Requirement['signatures'], required = false): Promise<unknown> =>
      verifySignatures(
        deployment({
          requests: requests.map((one) => ({ ...one, required: required && one.twin_id === 3 })),
          weight_required: 2,
          signatures: signatures ?? null,
        }),
        async (_twin, _type, _message, signature) => Buffer.from(signature).toString('hex') === good,
        'skipped',
      ).catch((error: GridError) => error.code);
    expect(await skipping(signed(1, 2))).toBe('current');
    expect(await skipping([...signed(1, 2), { twin_id: 3, signature: '' }])).toBe('current');
    expect(await skipping(signed(1, 3))).toBe('current');
    expect(await skipping(signed(1))).toBe('signature_weight');
    expect(await skipping(signed(2, 3))).toBe('signature_missing');
    expect(await skipping([...signed(1, 2), { twin_id: 3, signature: bad }])).toBe('signature_mismatch');
    expect(await skipping(signed(1, 2), true)).toBe('signature_missing');
  });

  it.each([
    ['0xab', "invalid signature: encoding/hex: invalid byte: U+0078 'x'"],
    ['abc', 'invalid signature: encoding/hex: odd length hex string'],
    ['zz', "invalid signature: encoding/hex: invalid byte: U+007A 'z'"],
    ['😀', "invalid signature: encoding/hex: invalid byte: U+00F0 'ð'"],
  ])('refuses the text %j', async (signature, text) => {
    expect(await outcome({ requests: [{ twin_id: 1 }], signatures: [{ twin_id: 1, signature }] })).toBe(text);
  });

  it('says when a key can not be had, and that it may later', async () => {
    const requirement = { requests: [{ twin_id: 1 }], signatures: signed(1) };
    expect(await outcome(requirement, new Error('chain is away'))).toBe(
      "failed to get public key for twin '1': chain is away",
    );
    const unread = new GridError('twin_unreadable', { twin: 1, reason: 'the chain has no such twin' });
    expect(await outcome(requirement, unread)).toBe(
      "failed to get public key for twin '1': the chain has no such twin",
    );
    const refused = verifySignatures(deployment(requirement), () => Promise.reject(new Error('x')));
    await expect(refused).rejects.toMatchObject({ code: 'signature_key_unavailable', retryable: true });
  });

  it('bounds the look-ups one deployment can cause', async () => {
    const requests = Array.from({ length: MAX_SIGNATURE_REQUESTS + 1 }, (_, twin_id) => ({ twin_id }));
    expect(await outcome({ requests, signatures: signed(0) })).toContain(
      `asks for ${MAX_SIGNATURE_REQUESTS + 1} signatures`,
    );
  });

  it('passes the kind of signature and the message of the style', async () => {
    const requests = [{ twin_id: 1 }];
    for (const signature_style of ['', 'polka-wallet']) {
      for (const [given, kind] of [
        ['sr25519', 'sr25519'],
        ['SR25519', 'ed25519'],
        ['', 'ed25519'],
      ]) {
        const signatures = [{ twin_id: 1, signature: good, signature_type: given as string }];
        const subject = deployment({ requests, signatures, signature_style });
        await verifySignatures(subject, async (twin, type, message) => {
          expect([twin, type]).toEqual([1, kind]);
          expect(message).toEqual(signedMessage(subject));
          expect(message.length).toBe(signature_style === '' ? 16 : 7 + 32 + 8);
          return true;
        });
      }
    }
  });
});
