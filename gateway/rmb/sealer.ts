/** Fills what a message needs before it goes out: payload, time, signature. */
import { challenge } from './challenge.ts';
import type { PayloadCipher } from './cipher.ts';
import { type Envelope, encodeEnvelope, MAX_FRAME_BYTES, nowSeconds, stamp } from './envelope.ts';
import { RmbError } from './errors.ts';
import { hexOf } from './hex.ts';
import type { Identity } from './keys.ts';
import type { TwinRecord, TwinSource } from './twins.ts';

/** `assured`: the other side has our key, as it just used it. */
export type Encryption = 'when-possible' | 'never' | 'always' | 'assured';

export interface SealerOptions {
  readonly identity: Identity;
  readonly twinId: number;
  readonly twins: TwinSource;
  readonly cipher: PayloadCipher;
}

const encoder = new TextEncoder();

export class Sealer {
  readonly #options: SealerOptions;

  constructor(options: SealerOptions) {
    this.#options = options;
  }

  /** The bytes of a request to twin `to`, ready to go. */
  async sealRequest(
    envelope: Envelope,
    payload: string | Uint8Array,
    to: number,
    encrypt: Encryption = 'when-possible',
  ): Promise<Uint8Array> {
    const twin = await this.lookUp(to);
    if (twin === undefined) throw new RmbError('unknown-twin', `unknown twin id '${to}'`);
    await this.seal(envelope, payload, twin, encrypt);
    const bytes = encodeEnvelope(envelope);
    if (bytes.length > MAX_FRAME_BYTES) {
      throw new RangeError(`the message has ${bytes.length} bytes, relays take ${MAX_FRAME_BYTES}`);
    }
    return bytes;
  }

  /** Stamps and signs `envelope` with `payload`, encrypted where it can and may be. */
  async seal(envelope: Envelope, payload: string | Uint8Array, to: TwinRecord, encrypt: Encryption): Promise<void> {
    const { identity, twinId, cipher } = this.#options;
    const plain = typeof payload === 'string' ? encoder.encode(payload) : payload;
    const wanted = encrypt !== 'never' && to.encryptionKey !== null;
    const possible = wanted && (encrypt === 'assured' || (await this.ownKeyIsPublished()));
    if (encrypt === 'always' && !possible) {
      const who = to.encryptionKey === null ? `twin ${to.id}` : `our twin ${twinId}`;
      throw new RmbError('no-encryption', `${who} has no usable encryption key on the chain`);
    }
    envelope.payload =
      possible && to.encryptionKey !== null
        ? { case: 'cipher', value: cipher.encrypt(plain, to.encryptionKey) }
        : { case: 'plain', value: plain };
    stamp(envelope, nowSeconds());
    envelope.signature = identity.sign(challenge(envelope));
  }

  /** The other side decrypts with the key our twin has on the chain: ours must be that one. */
  async ownKeyIsPublished(): Promise<boolean> {
    const { identity, twinId } = this.#options;
    const own = await this.lookUp(twinId);
    return own?.encryptionKey != null && hexOf(own.encryptionKey) === hexOf(identity.encryptionKey);
  }

  /** The twin, `undefined` where the chain has none. Throws `RmbError` where the chain cannot be asked. */
  async lookUp(id: number): Promise<TwinRecord | undefined> {
    try {
      return await this.#options.twins.twin(id);
    } catch (error) {
      throw new RmbError('twin-lookup', `twin ${id} could not be looked up`, { cause: error });
    }
  }
}
