/**
 * What an sr25519 signature signs: a Merlin transcript over STROBE-128 (Merlin
 * v1.0, STROBE v1.0.2), of which only absorbing and one challenge are needed.
 */
import { keccakP } from '@noble/hashes/sha3';

const RATE = 166;
const STATE_BYTES = 200;
const APPLICATION = 2;
const META = 16 | APPLICATION;
/** INTERNAL, APPLICATION and CIPHER: numbers come out. */
const CHALLENGE = 1 | 2 | 4;

const encoder = new TextEncoder();

class Transcript {
  readonly #state: Uint8Array;
  readonly #words: Uint32Array;
  #at = 0;
  #begin = 0;

  constructor(from?: Transcript) {
    const buffer = new ArrayBuffer(STATE_BYTES);
    this.#state = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    if (from === undefined) {
      this.#state.set([1, RATE + 2, 1, 0, 1, 96]);
      this.#state.set(encoder.encode('STROBEv1.0.2'), 6);
      keccakP(this.#words);
      this.#operation(META);
      this.#absorb(encoder.encode('Merlin v1.0'));
      return;
    }
    this.#state.set(from.#state);
    this.#at = from.#at;
    this.#begin = from.#begin;
  }

  append(label: Uint8Array, message: Uint8Array): void {
    this.#label(label, message.length);
    this.#operation(APPLICATION);
    this.#absorb(message);
  }

  /** The last thing asked of a transcript. */
  challenge(label: Uint8Array, bytes: number): Uint8Array {
    this.#label(label, bytes);
    this.#operation(CHALLENGE);
    if (this.#at !== 0) this.#permute();
    return this.#state.slice(0, bytes);
  }

  #label(label: Uint8Array, length: number): void {
    this.#operation(META);
    this.#absorb(label);
    this.#absorb(Uint8Array.of(length, length >>> 8, length >>> 16, length >>> 24));
  }

  #operation(flags: number): void {
    const before = this.#begin;
    this.#begin = this.#at + 1;
    this.#absorb(Uint8Array.of(before, flags));
  }

  #absorb(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.#mix(this.#at, byte);
      this.#at += 1;
      if (this.#at === RATE) this.#permute();
    }
  }

  #permute(): void {
    this.#mix(this.#at, this.#begin);
    this.#mix(this.#at + 1, 0x04);
    this.#mix(RATE + 1, 0x80);
    keccakP(this.#words);
    this.#at = 0;
    this.#begin = 0;
  }

  #mix(index: number, byte: number): void {
    this.#state[index] = (this.#state[index] ?? 0) ^ byte;
  }
}

const labels = {
  bytes: encoder.encode('sign-bytes'),
  protocol: encoder.encode('proto-name'),
  schnorr: encoder.encode('Schnorr-sig'),
  account: encoder.encode('sign:pk'),
  commitment: encoder.encode('sign:R'),
  challenge: encoder.encode('sign:c'),
};

/** All transcripts of the network begin alike. */
const beginning = new Transcript();
beginning.append(encoder.encode('dom-sep'), encoder.encode('SigningContext'));
beginning.append(new Uint8Array(0), encoder.encode('substrate'));

/** The 64 bytes that, modulo the group's order, tie a signature to account, commitment and message. */
export function challengeBytes(account: Uint8Array, message: Uint8Array, commitment: Uint8Array): Uint8Array {
  const transcript = new Transcript(beginning);
  transcript.append(labels.bytes, message);
  transcript.append(labels.protocol, labels.schnorr);
  transcript.append(labels.account, account);
  transcript.append(labels.commitment, commitment);
  return transcript.challenge(labels.challenge, 64);
}
