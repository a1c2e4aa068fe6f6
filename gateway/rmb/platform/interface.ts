/**
 * What the client needs of the machine it runs on. `node.ts` and `browser.ts`
 * give it; the rest of this folder knows neither.
 */
import type { SignatureFault } from '../signature-form.ts';

/** One ed25519 key pair. */
export interface SigningKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes over `message` as it is. */
  sign(message: Uint8Array): Uint8Array;
}

/** One secp256k1 key pair. */
export interface AgreementKey {
  /** 33 bytes, the compressed point. */
  readonly publicKey: Uint8Array;
  /** The 32-byte x coordinate shared with the owner of `otherKey`. Throws for bytes that are no point. */
  agree(otherKey: Uint8Array): Uint8Array;
}

/** One AES-256-GCM key. */
export interface PayloadKey {
  /** Ciphertext and 16-byte tag behind `nonce`. */
  seal(nonce: Uint8Array, plain: Uint8Array): Uint8Array;
  /** The plain bytes of ciphertext and tag. Throws where they are not the key's. */
  unseal(nonce: Uint8Array, sealed: Uint8Array): Uint8Array;
}

/** sr25519 and the words of BIP39. */
export interface Schnorr {
  /** 96 bytes: secret key (64), public key (32). */
  sr25519KeypairFromSeed(seed: Uint8Array): Uint8Array;
  sr25519Sign(publicKey: Uint8Array, secretKey: Uint8Array, message: Uint8Array): Uint8Array;
  sr25519Verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  bip39Validate(phrase: string): boolean;
  bip39ToMiniSecret(phrase: string, password: string): Uint8Array;
}

export interface Verifier {
  /** `undefined` for a good signature of `message` by `account`, else the fault. Rejects where no verdict could be had. */
  verify(
    account: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array | undefined,
  ): Promise<SignatureFault | undefined>;
  close(): Promise<void>;
}

/** One WebSocket, from its dialling to its end. */
export interface Line {
  readonly open: boolean;
  /** Bytes that were taken and are not with the system yet. */
  readonly bufferedBytes: number;
  /** Grows with whatever comes in, pongs included. */
  readonly received: number;
  /** `done` has an error where the frame surely was not delivered whole. */
  send(bytes: Uint8Array, done: (error?: Error) => void): void;
  /** Absent where WebSocket pings cannot be sent; relays are then pinged by an envelope. */
  readonly ping?: () => void;
  /** Stops and restarts reading. Where that cannot be done, absent: all comes at once. */
  readonly pause?: () => void;
  readonly resume?: () => void;
  close(): void;
  /** Ends it without waiting for the other side. */
  terminate(): void;
}

export interface LineEvents {
  readonly onOpen: () => void;
  readonly onFrame: (bytes: Uint8Array) => void;
  /** A pong came. */
  readonly onSign: () => void;
  /** Once, at the end, also of a line that never opened. */
  readonly onClose: (problem: string) => void;
}

export interface Platform {
  /** MD5 of the parts one after another; texts as UTF-8. */
  md5(parts: readonly (string | Uint8Array)[]): Uint8Array;
  sha256(bytes: Uint8Array): Uint8Array;
  randomBytes(count: number): Uint8Array;
  /** UUID version 4, lower case. */
  uuid(): string;
  /** AES-256-GCM with a key of 32 bytes. */
  payloadKey(key: Uint8Array): PayloadKey;
  ed25519(seed: Uint8Array): SigningKey;
  /** Throws where the secret is no scalar of the curve. */
  secp256k1(secret: Uint8Array): AgreementKey;
  /** Loaded when first needed. */
  schnorr(): Promise<Schnorr>;
  newVerifier(): Verifier;
  encodeBase64url(bytes: Uint8Array): string;
  /** Lenient: skips or stops at what it does not know. */
  decodeBase64url(text: string): Uint8Array;
  /** Throws where dialling cannot even begin. */
  dial(url: string, options: { readonly handshakeMs: number; readonly maxBytes: number }, events: LineEvents): Line;
}
