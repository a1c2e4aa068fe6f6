import { createCipheriv, createECDH, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { verify as scureVerify } from '@scure/sr25519';
import nacl from 'tweetnacl';
import { afterAll, describe, expect, it } from 'vitest';
import { challenge, challengePieces } from './challenge.ts';
import { CipherError, PayloadCipher } from './cipher.ts';
import {
  address,
  createEnvelope,
  decodeEnvelope,
  encodeEnvelope,
  formatAddress,
  parseAddress,
  remainingSeconds,
  stamp,
} from './envelope.ts';
import { Identity, KeyError } from './keys.ts';
import { SignatureVerifier } from './signature.ts';
import { createToken, parseToken, TokenError } from './token.ts';
import { parseRelayDomains } from './twins.ts';

interface Fields {
  uid: string;
  tags?: string;
  timestamp: number;
  expiration: number;
  source?: { twin: number; connection?: string };
  destination?: { twin: number; connection?: string };
  request?: { command: string };
  response?: object;
  error?: { code: number; message: string };
  ping?: object;
  pong?: object;
  signature?: string;
  schema?: string;
  federation?: string;
  plain?: string;
  cipher?: string;
  relays?: string[];
}

const vectors = JSON.parse(readFileSync(new URL('../../test/vectors/rmb.json', import.meta.url), 'utf8'));
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const toHex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
const verifier = new SignatureVerifier({ threads: 1 });
afterAll(() => verifier.close());

function fromFields(fields: Fields) {
  const message =
    fields.request !== undefined
      ? { case: 'request' as const, value: fields.request }
      : fields.response !== undefined
        ? { case: 'response' as const, value: {} }
        : fields.error !== undefined
          ? { case: 'error' as const, value: fields.error }
          : fields.ping !== undefined
            ? { case: 'ping' as const, value: {} }
            : { case: 'pong' as const, value: {} };
  const payload =
    fields.plain !== undefined
      ? { case: 'plain' as const, value: hex(fields.plain) }
      : fields.cipher !== undefined
        ? { case: 'cipher' as const, value: hex(fields.cipher) }
        : { case: undefined };
  return createEnvelope({
    uid: fields.uid,
    timestamp: BigInt(fields.timestamp),
    expiration: BigInt(fields.expiration),
    message,
    payload,
    relays: fields.relays ?? [],
    ...(fields.tags === undefined ? {} : { tags: fields.tags }),
    ...(fields.source === undefined ? {} : { source: address(fields.source.twin, fields.source.connection) }),
    ...(fields.destination === undefined
      ? {}
      : { destination: address(fields.destination.twin, fields.destination.connection) }),
    ...(fields.signature === undefined ? {} : { signature: hex(fields.signature) }),
    ...(fields.schema === undefined ? {} : { schema: fields.schema }),
    ...(fields.federation === undefined ? {} : { federation: fields.federation }),
  });
}

describe('keys', () => {
  for (const key of Object.values(vectors.keys) as Record<string, string>[]) {
    it(`derives ${key.name}`, async () => {
      const ed = await Identity.fromSecret(key.secret ?? '', 'ed25519');
      const sr = await Identity.fromSecret(key.secret ?? '', 'sr25519');
      expect(toHex(ed.publicKey)).toBe(key.ed25519_public_hex);
      expect(toHex(sr.publicKey)).toBe(key.sr25519_public_hex);
      expect(toHex(ed.encryptionKey)).toBe(key.e2e_secp256k1_public_compressed_hex);
      expect(toHex(nacl.sign.keyPair.fromSeed(hex(key.mini_secret_hex ?? '')).publicKey)).toBe(key.ed25519_public_hex);
      expect(toHex(sr.encryptionKey)).toBe(key.e2e_secp256k1_public_compressed_hex);
      const bare = await Identity.fromSecret((key.mini_secret_hex ?? '').toUpperCase(), 'ed25519');
      expect(toHex(bare.publicKey)).toBe(key.ed25519_public_hex);
    });
  }

  it('refuses bad secrets without repeating them', async () => {
    for (const secret of ['', '0x12', 'abandon abandon', `0x${'0'.repeat(64)}`, `${vectors.keys.A.secret} abandon`]) {
      const failure = await Identity.fromSecret(secret, 'ed25519').catch((error: unknown) => error);
      expect(failure, secret).toBeInstanceOf(KeyError);
      if (secret.length > 3) expect((failure as Error).message).not.toContain(secret);
    }
  });
});

describe('tokens', () => {
  for (const vector of vectors.jwt) {
    it(`reads and verifies ${vector.name}`, async () => {
      const token = parseToken(vector.token);
      expect(token.claims).toEqual(JSON.parse(vector.claims_json));
      expect(toHex(token.signature)).toBe(vector.signature_hex);
      const account = hex(vector.account_public_hex);
      expect(await verifier.verify(account, token.signed, token.signature)).toBeUndefined();
    });
  }

  it('makes the same bytes as the Go peer', async () => {
    const identity = await Identity.fromSecret(vectors.keys.N.secret, 'ed25519');
    expect(createToken(identity, 17, undefined, 1700000000)).toBe(vectors.jwt[0].token);
    expect(createToken(identity, 17, 'node-a', 1700000000)).toBe(vectors.jwt[1].token);
  });

  it('refuses what is no token', () => {
    const [header, claims, signature] = vectors.jwt[0].token.split('.');
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const bad = [
      '',
      'a.b',
      `${header}.${claims}.${signature}.x`,
      `${header}=.${claims}.${signature}`,
      `${header}.${claims}.${signature}=`,
      `${header}.${claims}.AAAA`,
      `${part({ alg: 'HS256' })}.${claims}.${signature}`,
      `${part({ alg: 'RS512', typ: 'X' })}.${claims}.${signature}`,
      `${header}.${part({ sub: '17', iat: 1, exp: 2 })}.${signature}`,
      `${header}.${part({ sub: 4294967296, iat: 1, exp: 2 })}.${signature}`,
      `${header}.${part({ sub: 17, iat: 1, exp: 2, sid: 4 })}.${signature}`,
    ];
    for (const text of bad) expect(() => parseToken(text), text).toThrow(TokenError);
    expect(parseToken(`${header}.${part({ sub: 17, iat: 1, exp: 2, sid: null, x: 1 })}.${signature}`).claims).toEqual({
      sub: 17,
      iat: 1,
      exp: 2,
    });
  });
});

describe('envelopes', () => {
  for (const vector of vectors.envelopes) {
    it(`decodes, builds, hashes and verifies ${vector.name}`, async () => {
      const decoded = decodeEnvelope(hex(vector.envelope_hex));
      expect(decoded).toEqual(fromFields(vector.fields));
      // The library writes fields by number, which is one of the orders peers use.
      expect(decodeEnvelope(encodeEnvelope(decoded))).toEqual(decoded);
      if (vector.challenge_md5_hex === undefined) return;
      expect(toHex(challenge(decoded))).toBe(vector.challenge_md5_hex);
      expect(toHex(createHash('md5').update(hex(vector.challenge_preimage_hex)).digest())).toBe(
        vector.challenge_md5_hex,
      );
      const account = hex(vector.account_public_hex);
      expect(await verifier.verify(account, challenge(decoded), decoded.signature)).toBeUndefined();
      const bytes = decoded.signature?.slice(1) ?? new Uint8Array();
      const oracle =
        vector.key_type === 'ed25519'
          ? nacl.sign.detached.verify(challenge(decoded), bytes, account)
          : scureVerify(challenge(decoded), bytes, account);
      expect(oracle).toBe(true);
      if (!vector.signature_deterministic) return;
      const identity = await Identity.fromSecret(vectors.keys[vector.signed_by].secret, vector.key_type);
      expect(toHex(identity.sign(challenge(decoded)))).toBe(vector.signature_hex);
    });
  }

  for (const vector of vectors.negative) {
    it(`${vector.must}s the signature of ${vector.name}`, async () => {
      const decoded = decodeEnvelope(hex(vector.envelope_hex));
      const fault = await verifier.verify(hex(vector.account_public_hex), challenge(decoded), decoded.signature);
      expect(fault).toBe(vector.must === 'accept' ? undefined : vector.rust_inner_error);
    });
  }

  it('gives the known ambiguous envelopes one challenge', () => {
    for (const fields of vectors.ambiguity.envelopes) {
      expect(toHex(challenge(fromFields(fields)))).toBe(vectors.ambiguity.challenge_md5_hex);
    }
  });

  it('counts the life that is left', () => {
    for (const { now, timestamp, expiration, remaining_s } of vectors.ttl) {
      const left = remainingSeconds({ timestamp: BigInt(timestamp), expiration: BigInt(expiration) }, now);
      expect(left > 0 ? left : null).toBe(remaining_s);
    }
  });

  it('stamps', () => {
    for (const { now, timestamp, expiration, new_timestamp, new_expiration } of vectors.stamp) {
      const envelope = createEnvelope({ timestamp: BigInt(timestamp), expiration: BigInt(expiration) });
      stamp(envelope, now);
      expect([Number(envelope.timestamp), Number(envelope.expiration)]).toEqual([new_timestamp, new_expiration]);
    }
  });

  it('in pieces are what is hashed', () => {
    for (const vector of vectors.envelopes) {
      if (vector.challenge_preimage_hex === undefined) continue;
      const pieces = challengePieces(decodeEnvelope(hex(vector.envelope_hex)));
      expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).toString('hex')).toBe(vector.challenge_preimage_hex);
    }
  });

  it('reads and writes address texts', () => {
    for (const { text, twin, connection, error } of vectors.address_strings) {
      if (error !== undefined) {
        expect(() => parseAddress(text)).toThrow(error);
        continue;
      }
      expect(parseAddress(text)).toEqual(address(twin, connection));
      expect(formatAddress(address(twin, connection))).toBe(text);
    }
  });

  it('reads relay domains', () => {
    for (const { text, set } of vectors.relay_domains) expect(parseRelayDomains(text)).toEqual(set);
  });
});

describe('encryption', () => {
  const keyName = (secret: string): string =>
    Object.values(vectors.keys as Record<string, { mini_secret_hex: string; name: string }>).find(
      ({ mini_secret_hex }) => mini_secret_hex === secret,
    )?.name ?? '';

  for (const vector of vectors.e2e) {
    it(`agrees and decrypts ${vector.name}`, async () => {
      const a = await Identity.fromSecret(`0x${vector.secret_a_hex}`, 'sr25519');
      const other = hex(vector.public_b_hex);
      expect(toHex(a.agree(other))).toBe(vector.shared_x_hex);
      const cipher = new PayloadCipher(a);
      expect(Buffer.from(cipher.decrypt(hex(vector.cipher_field_hex), other)).toString()).toBe(vector.plaintext_utf8);
      const gcm = createCipheriv('aes-256-gcm', hex(vector.aes256_key_hex), hex(vector.nonce_hex));
      const body = Buffer.concat([gcm.update(vector.plaintext_utf8, 'utf8'), gcm.final()]);
      expect(`${vector.nonce_hex}${toHex(body)}${toHex(gcm.getAuthTag())}`).toBe(vector.cipher_field_hex);
      expect(keyName(vector.secret_a_hex)).toBe('A');
    });
  }

  it('decrypts the encrypted envelopes with the receiver’s key', async () => {
    const a = await Identity.fromSecret(vectors.keys.A.secret, 'sr25519');
    const n = await Identity.fromSecret(vectors.keys.N.secret, 'ed25519');
    for (const vector of vectors.envelopes) {
      if (vector.plaintext_hex === undefined) continue;
      const field = hex(vector.fields.cipher);
      expect(toHex(new PayloadCipher(a).decrypt(field, n.encryptionKey))).toBe(vector.plaintext_hex);
      expect(toHex(new PayloadCipher(n).decrypt(field, a.encryptionKey))).toBe(vector.plaintext_hex);
    }
  });

  it('goes both ways and never repeats a nonce', async () => {
    const a = await Identity.fromSecret(vectors.keys.A.secret, 'sr25519');
    const b = await Identity.fromSecret(vectors.keys.B.secret, 'ed25519');
    const message = Buffer.from('{"contract_id":42}');
    const nonces = new Set<string>();
    for (let turn = 0; turn < 200; turn += 1) {
      const field = new PayloadCipher(a).encrypt(message, b.encryptionKey);
      nonces.add(toHex(field.subarray(0, 12)));
      expect(toHex(new PayloadCipher(b).decrypt(field, a.encryptionKey))).toBe(toHex(message));
    }
    expect(nonces.size).toBe(200);
  });

  it('refuses damaged fields and keys that are no points', async () => {
    const a = await Identity.fromSecret(vectors.keys.A.secret, 'sr25519');
    const b = createECDH('secp256k1');
    b.generateKeys();
    const key = b.getPublicKey(null, 'compressed');
    const cipher = new PayloadCipher(a);
    const field = cipher.encrypt(Buffer.from('x'), key);
    for (let at = 0; at < field.length; at += 1) {
      const damaged = Uint8Array.from(field);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      expect(() => cipher.decrypt(damaged, key)).toThrow(CipherError);
    }
    expect(() => cipher.decrypt(field.subarray(0, 27), key)).toThrow('invalid cipher data');
    expect(() => cipher.encrypt(field, new Uint8Array(33))).toThrow(CipherError);
    expect(() => cipher.encrypt(field, new Uint8Array(0))).toThrow(CipherError);
  });
});
