/** Decides whether an answer belongs to a call, and what it says. */
import { readRefusal } from './answer.ts';
import { challenge } from './challenge.ts';
import { CipherError, type PayloadCipher } from './cipher.ts';
import { type Envelope, findFieldProblem } from './envelope.ts';
import { RmbError } from './errors.ts';
import type { Verifier } from './platform/interface.ts';
import type { TwinRecord, TwinSource } from './twins.ts';

/** A call that waits for its answer. */
export interface PendingCall {
  readonly twin: number;
  readonly session: string | undefined;
  /** Answers looked at so far; a stranger who knows the uid must not cost more. */
  answersSeen: number;
  readonly settle: (result: Uint8Array | RmbError) => void;
}

export interface AnswerTools {
  readonly twins: TwinSource;
  readonly verifier: Pick<Verifier, 'verify'>;
  readonly cipher: PayloadCipher;
}

/** Answers to one uid that are verified before the rest is ignored. */
const MAX_ANSWERS = 4;
const SCHEMA = 'application/json';

/**
 * The call's result, or `undefined` where the envelope is not its answer. The
 * uid, the asked twin and session, our own address and the signature must all
 * fit. Age is not checked: a waiting uid is proof enough that it is new.
 */
export async function receiveAnswer(
  envelope: Envelope,
  call: PendingCall,
  self: { readonly twinId: number; readonly session: string | undefined },
  tools: AnswerTools,
): Promise<Uint8Array | RmbError | undefined> {
  const { message, source, destination } = envelope;
  if (message.case === 'error' && (source === undefined || source.twin === 0)) {
    return new RmbError('relay-refused', message.value.message, { code: message.value.code });
  }
  if (findFieldProblem(envelope) !== undefined) return undefined;
  if (source?.twin !== call.twin || source.connection !== call.session) return undefined;
  if (destination?.twin !== self.twinId || destination.connection !== self.session) return undefined;
  call.answersSeen += 1;
  if (call.answersSeen > MAX_ANSWERS) return undefined;

  const twin = await verifiedTwin(envelope, call.twin, tools);
  if (twin instanceof RmbError) return twin;
  const payload = openPayload(envelope, twin, tools.cipher);
  if (message.case === 'error') {
    const refusal = payload instanceof RmbError ? undefined : readRefusal(payload);
    return new RmbError('refused', message.value.message, { code: message.value.code, refusal });
  }
  if (payload instanceof RmbError || isResponse(envelope, payload)) return payload;
  return new RmbError('bad-answer', `the answer of twin ${twin.id} is not of the type ${SCHEMA}`);
}

/**
 * The kind is not signed: a signed error whose code and text were moved into
 * the schema, the relays or the payload would be a response, and a success.
 * Services that give no type (as behind `rmb-peer`) name no relays either.
 */
function isResponse({ schema, federation, relays }: Envelope, payload: Uint8Array): boolean {
  if (schema !== undefined) return schema === SCHEMA;
  if (federation !== undefined || relays.length > 0) return false;
  return payload.length === 0 || isJson(payload);
}

function isJson(payload: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder().decode(payload));
    return true;
  } catch {
    return false;
  }
}

/** The signer's record. A key that fails is loaded anew once: it may have changed on the chain. */
async function verifiedTwin(envelope: Envelope, id: number, tools: AnswerTools): Promise<TwinRecord | RmbError> {
  const digest = challenge(envelope);
  let fault = '';
  for (const fresh of [false, true]) {
    const twin = await tools.twins.twin(id, { fresh });
    if (twin === undefined) return new RmbError('unknown-twin', `unknown twin id '${id}'`);
    const found = await tools.verifier.verify(twin.account, digest, envelope.signature);
    if (found === undefined) return twin;
    fault = found;
  }
  return new RmbError('bad-signature', `the answer of twin ${id} is not believed: ${fault}`);
}

function openPayload(envelope: Envelope, twin: TwinRecord, cipher: PayloadCipher): Uint8Array | RmbError {
  const { payload } = envelope;
  if (payload.case === undefined) return new Uint8Array(0);
  if (payload.case === 'plain') return payload.value;
  if (twin.encryptionKey === null) {
    return new RmbError('bad-answer', `the answer is encrypted but twin ${twin.id} has no key on the chain`);
  }
  try {
    return cipher.decrypt(payload.value, twin.encryptionKey);
  } catch (error) {
    if (!(error instanceof CipherError)) throw error;
    return new RmbError('bad-answer', `the answer of twin ${twin.id} cannot be decrypted: ${error.message}`);
  }
}
