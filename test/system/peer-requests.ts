/** Requests as twins of the golden vectors make them, well-formed and not. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  address,
  challenge,
  createEnvelope,
  type Envelope,
  encodeEnvelope,
  Identity,
  PayloadCipher,
} from '../../gateway/rmb/index.ts';
import { nowSeconds } from './raw-line.ts';

const vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../vectors/rmb.json'), 'utf8'));
export const VECTOR_SECONDS = 1_700_000_000;

/** Twin 7 is the user, 17 the node, 8 another user, 9 one without a key for encryption. */
export const A = await Identity.fromSecret(vectors.keys.A.secret, 'ed25519');
export const N = await Identity.fromSecret(vectors.keys.N.secret, 'ed25519');
export const B = await Identity.fromSecret(vectors.keys.B.secret, 'ed25519');
export const S = await Identity.fromSecret(vectors.keys.B.secret, 'sr25519');
export const [USER, OTHER, BARE, NODE, SESSION] = [7, 8, 9, 17, 'test_client'];

export type Change = Partial<Envelope>;
export const plain = (text: string | Uint8Array): Change => ({
  payload: { case: 'plain', value: typeof text === 'string' ? Buffer.from(text) : text },
});
export const cipher = (bytes: Uint8Array): Change => ({ payload: { case: 'cipher', value: bytes } });
export const message = (init: NonNullable<Parameters<typeof createEnvelope>[0]>['message']): Change => ({
  message: createEnvelope({ message: init as never }).message,
});
export const command = (name: string): Change => message({ case: 'request', value: { command: name } });
export const kind = (name: 'response' | 'ping' | 'pong'): Change => message({ case: name, value: {} });
export const from = (twin: number, session: string | undefined = SESSION): Change => ({
  source: address(twin, session),
});
export const to = (twin: number, session?: string): Change => ({ destination: address(twin, session) });
export const aged = (seconds: number): Change => ({ timestamp: BigInt(nowSeconds() - seconds) });
export const sealed = (text: string, by: Identity = A): Change =>
  cipher(new PayloadCipher(by).encrypt(Buffer.from(text), N.encryptionKey));

/** A request that the node answers, with changes made before it is signed. */
export function request(change: Change = {}, signer: Identity = A, at = nowSeconds()): Envelope {
  const envelope = createEnvelope({
    uid: randomUUID(),
    timestamp: BigInt(at),
    expiration: 60n,
    source: address(USER, SESSION),
    destination: address(NODE),
    message: { case: 'request', value: { command: 'zos.storage.pools' } },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.from('null') },
  });
  Object.assign(envelope, change);
  // Where an address is missing nothing can be signed.
  if (envelope.source !== undefined && envelope.destination !== undefined) {
    envelope.signature = signer.sign(challenge(envelope));
  }
  return envelope;
}

/** Bytes of a request with changes made after it was signed. */
export const tampered = (change: Change | ((envelope: Envelope) => Change), signed: Envelope = request()): Uint8Array =>
  encodeEnvelope({ ...signed, ...(typeof change === 'function' ? change(signed) : change) });
export const signatureOf = (change: (signature: Uint8Array) => Uint8Array): Uint8Array =>
  tampered(({ signature }) => ({ signature: change(Uint8Array.from(signature ?? [])) }));
export const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
export const vector = (name: string): Uint8Array => {
  const found = [...vectors.envelopes, ...vectors.negative].find((one: { name: string }) => one.name === name);
  return Buffer.from(found.envelope_hex, 'hex');
};
