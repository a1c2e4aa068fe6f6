/** Refusals of the gateway's door: a well-formed envelope that may not pass. Numbers 1100 to 1199. */
import { z } from 'zod';
import { entry } from './table.ts';

const twin = z.int().nonnegative();
const seconds = z.int();

export const doorErrors = {
  destination_not_here: entry({
    number: 1100,
    stage: 'door',
    fault: 'caller',
    retryable: false,
    details: z.object({
      twin,
      session: z.string().nullable(),
      expectedTwin: twin,
      expectedSession: z.string().nullable(),
    }),
    message: (d) =>
      `the envelope is addressed to twin ${d.twin}${d.session === null ? '' : ` session ${JSON.stringify(d.session)}`},` +
      ` this is twin ${d.expectedTwin}${d.expectedSession === null ? ' without a session' : ` session ${JSON.stringify(d.expectedSession)}`}`,
    remedy: 'address the twin of the node that is meant',
  }),
  envelope_expired: entry({
    number: 1101,
    stage: 'door',
    fault: 'caller',
    retryable: true,
    details: z.object({
      nowSeconds: seconds,
      timestampSeconds: seconds,
      /** This clock minus the sender's. */
      differenceSeconds: seconds,
      expirationSeconds: seconds,
    }),
    message: (d) =>
      `message has expired: this clock says ${d.nowSeconds}, the sender's said ${d.timestampSeconds},` +
      ` ${d.differenceSeconds} s earlier, and the message was to live ${d.expirationSeconds} s`,
    remedy: "set the sender's clock if it is late, or give the message a longer life",
  }),
  envelope_from_future: entry({
    number: 1102,
    stage: 'door',
    fault: 'caller',
    retryable: true,
    details: z.object({
      nowSeconds: seconds,
      timestampSeconds: seconds,
      /** The sender's clock minus this one. */
      differenceSeconds: seconds,
      allowedSeconds: seconds,
    }),
    message: (d) =>
      `the message is from the future: this clock says ${d.nowSeconds}, the sender's said ${d.timestampSeconds},` +
      ` ${d.differenceSeconds} s later; at most ${d.allowedSeconds} s ahead are accepted`,
    remedy: "set the sender's clock, or tell the farmer if the node's is late",
  }),
  envelope_lifetime: entry({
    number: 1103,
    stage: 'door',
    fault: 'caller',
    retryable: false,
    details: z.object({ expirationSeconds: seconds, limitSeconds: seconds }),
    message: (d) => `the message asks to live ${d.expirationSeconds} s, from 1 s to ${d.limitSeconds} s are accepted`,
    remedy: 'set expiration to the seconds that the caller waits',
  }),
  envelope_replayed: entry({
    number: 1104,
    stage: 'door',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin, uid: z.string() }),
    message: (d) => `message ${JSON.stringify(d.uid)} of twin ${d.twin} was received before`,
    remedy: 'give every request a uid of its own',
  }),
  replay_memory_full: entry({
    number: 1105,
    stage: 'door',
    fault: 'caller',
    retryable: true,
    details: z.object({ twin, remembered: z.int(), limit: z.int() }),
    message: (d) =>
      `cannot tell whether this request is new: ${d.remembered} unexpired requests are remembered, the limit is ${d.limit}`,
    remedy: 'use shorter expirations or slow down',
  }),
  twin_unknown: entry({
    number: 1106,
    stage: 'door',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin }),
    message: (d) => `unknown twin id '${d.twin}'`,
  }),
  twin_lookup_failed: entry({
    number: 1107,
    stage: 'door',
    fault: 'node',
    retryable: true,
    details: z.object({ twin }),
    message: (d) => `twin ${d.twin} could not be looked up on the chain`,
    remedy: 'try again later',
  }),
  rate_exceeded: entry({
    number: 1108,
    stage: 'door',
    fault: 'caller',
    retryable: true,
    details: z.object({ twin, perSecond: z.number(), burst: z.int(), retryAfterSeconds: seconds }),
    message: (d) =>
      `twin ${d.twin} sends more than ${d.perSecond} requests a second (burst ${d.burst});` +
      ` the next is accepted in ${d.retryAfterSeconds} s`,
    remedy: 'slow down',
  }),
  concurrency_exceeded: entry({
    number: 1109,
    stage: 'door',
    fault: 'caller',
    retryable: true,
    details: z.object({ twin, running: z.int(), limit: z.int() }),
    message: (d) => `twin ${d.twin} has ${d.running} requests running, the limit is ${d.limit}`,
    remedy: 'wait for an answer before the next request',
  }),
  signature_invalid: entry({
    number: 1110,
    stage: 'door',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin, reason: z.string() }),
    message: (d) => `invalid envelope signature of twin ${d.twin}: ${d.reason}`,
  }),
  encryption_key_missing: entry({
    number: 1111,
    stage: 'door',
    fault: 'caller',
    retryable: true,
    details: z.object({ twin }),
    message: (d) => `the payload is encrypted but twin ${d.twin} has no public key on the chain`,
    remedy: 'store the key with update_twin or send the payload plain',
  }),
  decryption_failed: entry({
    number: 1112,
    stage: 'door',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin, reason: z.string() }),
    message: (d) => `the payload of twin ${d.twin} cannot be decrypted: ${d.reason}`,
    remedy: 'check that both public keys on the chain are the ones in use',
  }),
  encryption_required: entry({
    number: 1113,
    stage: 'door',
    fault: 'caller',
    retryable: false,
    details: z.object({ twin }),
    message: (d) => `twin ${d.twin} has a public key on the chain, so its requests must be encrypted`,
    remedy: 'encrypt the payload',
  }),
  door_busy: entry({
    number: 1114,
    stage: 'door',
    fault: 'node',
    retryable: true,
    details: z.object({ running: z.int(), limit: z.int(), retryAfterSeconds: seconds }),
    message: (d) =>
      `the node is answering ${d.running} requests, the limit is ${d.limit}; try again in ${d.retryAfterSeconds} s`,
  }),
  rate_exceeded_in_all: entry({
    number: 1115,
    stage: 'door',
    fault: 'node',
    retryable: true,
    details: z.object({ perSecond: z.number(), burst: z.int(), retryAfterSeconds: seconds }),
    message: (d) =>
      `the node gets more than ${d.perSecond} requests a second (burst ${d.burst}) from all twins together;` +
      ` try again in ${d.retryAfterSeconds} s`,
  }),
  door_full: entry({
    number: 1116,
    stage: 'door',
    fault: 'node',
    retryable: true,
    details: z.object({
      sizeBytes: z.int().nonnegative(),
      runningBytes: z.int().nonnegative(),
      limitBytes: z.int().nonnegative(),
      retryAfterSeconds: seconds,
    }),
    message: (d) =>
      `the node is answering requests of ${d.runningBytes} bytes, so one of ${d.sizeBytes} bytes is beyond the limit of` +
      ` ${d.limitBytes} bytes in all; try again in ${d.retryAfterSeconds} s`,
  }),
  door_overloaded: entry({
    number: 1117,
    stage: 'door',
    fault: 'node',
    retryable: true,
    details: z.object({ waitMs: z.int().nonnegative(), limitMs: z.int().nonnegative(), retryAfterSeconds: seconds }),
    message: (d) =>
      `the node is overloaded: requests wait ${d.waitMs} ms at its door, ${d.limitMs} ms are the limit;` +
      ` try again in ${d.retryAfterSeconds} s`,
  }),
} as const;
