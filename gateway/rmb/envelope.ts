/** Envelopes to bytes and back, with bounds on everything a stranger may fill. */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { GridError } from '../../schemas/errors/index.ts';
import { type Address, AddressSchema, type Envelope, EnvelopeSchema } from './envelope_pb.ts';
import { findWireProblem } from './wire-form.ts';

export type { Address, Envelope };

/** Largest frame a relay passes on; the same number limits our sockets. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** Characters that a text of an envelope may have. */
export const TEXT_LIMITS = {
  uid: 128,
  session: 128,
  command: 256,
  tags: 1024,
  schema: 128,
  federation: 1024,
  relay: 256,
} as const;
const MAX_ERROR_LENGTH = 64 * 1024;
/** Entries of `relays`. */
export const MAX_RELAYS = 16;

/** An address; without `session` it is the twin's default connection. */
export function address(twin: number, session?: string): Address {
  return create(AddressSchema, session === undefined ? { twin } : { twin, connection: session });
}

export function createEnvelope(init: MessageInitShape<typeof EnvelopeSchema>): Envelope {
  return create(EnvelopeSchema, init);
}

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  return toBinary(EnvelopeSchema, envelope);
}

/**
 * The envelope in `bytes`. Unknown fields are kept. Throws `GridError`
 * `envelope_too_large` or `envelope_malformed` (also for texts that are not UTF-8).
 */
export function decodeEnvelope(bytes: Uint8Array, limitBytes = MAX_FRAME_BYTES): Envelope {
  if (bytes.length > limitBytes) throw new GridError('envelope_too_large', { sizeBytes: bytes.length, limitBytes });
  const form = findWireProblem(bytes);
  if (form !== undefined) throw new GridError('envelope_malformed', { problem: form });
  try {
    return fromBinary(EnvelopeSchema, bytes);
  } catch (error) {
    throw new GridError('envelope_malformed', { problem: (error as Error).message.slice(0, 200) }, { cause: error });
  }
}

/** Whether a text has a character below space or DEL: nothing in an envelope needs one. */
function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

/**
 * In what is signed nothing stands between these texts and a payload: a text
 * with one of these could be a piece of a payload, or hold one.
 */
const JSON_MARKS = /["{}[\]]/;
/** Names of relays, as clients take them from the chain and from URLs. */
const HOSTS = /^[\w.:[\]-]*$/;
/**
 * An answer ends its addresses with the asker's session. With this in it, what
 * the answer's sender signed reads as a request of the sender to a third twin.
 */
const ADDRESS_AND_COMMAND = /\d(?:zos|rmb|farmerbot)\./;

function problemOfText(text: string | undefined, limit: number, hosts: boolean): string | undefined {
  if (text === undefined) return undefined;
  if (text.length > limit) return `has ${text.length} characters, at most ${limit} are accepted`;
  if (hasControlCharacter(text)) return 'has a control character';
  if (hosts) return HOSTS.test(text) ? undefined : 'is no name of a relay';
  return JSON_MARKS.test(text) ? 'has one of the characters " { } [ ]' : undefined;
}

/**
 * What keeps an envelope from being one that a peer may have signed: texts too
 * long or with control characters, numbers beyond what a clock gives, an
 * address that is missing. The signed challenge has no separators, so only
 * narrow shapes keep two meanings of one challenge apart.
 */
export function findFieldProblem(envelope: Envelope): GridError<'envelope_field'> | undefined {
  const found = fieldProblem(envelope);
  return found === undefined ? undefined : new GridError('envelope_field', { field: found[0], problem: found[1] });
}

function fieldProblem(envelope: Envelope): [field: string, problem: string] | undefined {
  if (envelope.uid === '') return ['uid', 'is empty'];
  const { source, destination, message } = envelope;
  if (source === undefined || source.twin === 0) return ['source', 'is missing'];
  if (destination === undefined || destination.twin === 0) return ['destination', 'is missing'];
  if (message.case === undefined) return ['message', 'is missing'];
  // Unix seconds from 2001 to 2286 have ten digits.
  if (envelope.timestamp < 1_000_000_000n || envelope.timestamp > 9_999_999_999n) {
    return ['timestamp', `is ${envelope.timestamp}, not the Unix time in seconds`];
  }
  if (envelope.expiration > 0xffff_ffffn) return ['expiration', `is ${envelope.expiration} seconds`];
  if (envelope.relays.length > MAX_RELAYS) return ['relays', `has ${envelope.relays.length} entries`];
  const texts: [field: string, text: string | undefined, limit: number][] = [
    ['uid', envelope.uid, TEXT_LIMITS.uid],
    ['tags', envelope.tags, TEXT_LIMITS.tags],
    ['source.connection', source.connection, TEXT_LIMITS.session],
    ['destination.connection', destination.connection, TEXT_LIMITS.session],
    ['schema', envelope.schema, TEXT_LIMITS.schema],
    ['federation', envelope.federation, TEXT_LIMITS.federation],
  ];
  if (message.case === 'request') texts.push(['request.command', message.value.command, TEXT_LIMITS.command]);
  for (const relay of envelope.relays) texts.push(['relays', relay, TEXT_LIMITS.relay]);
  for (const [field, text, limit] of texts) {
    const problem = problemOfText(text, limit, field === 'federation' || field === 'relays');
    if (problem !== undefined) return [field, problem];
  }
  if (ADDRESS_AND_COMMAND.test(source.connection ?? '')) {
    return ['source.connection', 'reads as an address and a command'];
  }
  // An error's text is for people and may have lines.
  if (message.case === 'error' && message.value.message.length > MAX_ERROR_LENGTH) {
    return ['error.message', `has ${message.value.message.length} characters`];
  }
  return undefined;
}

/** Seconds of life an envelope has left at `nowSeconds`; zero or less is expired. */
export function remainingSeconds(envelope: Pick<Envelope, 'timestamp' | 'expiration'>, nowSeconds: number): number {
  return Number(envelope.timestamp + envelope.expiration) - nowSeconds;
}

/**
 * Makes `nowSeconds` the envelope's time. A time that lies behind shortens its
 * life by what has passed; one that is unset or ahead leaves it as it is.
 */
export function stamp(envelope: Pick<Envelope, 'timestamp' | 'expiration'>, nowSeconds: number): void {
  const now = BigInt(nowSeconds);
  const { timestamp, expiration } = envelope;
  if (timestamp > 0n && timestamp <= now) {
    const passed = now - timestamp;
    envelope.expiration = expiration > passed ? expiration - passed : 0n;
  }
  envelope.timestamp = now;
}

/** Whether two addresses name the same session; absent and empty sessions differ. */
export function sameAddress(one: Address | undefined, other: Address | undefined): boolean {
  return one?.twin === other?.twin && one?.connection === other?.connection;
}

/** `17`, or `17:session`. */
export function formatAddress(value: Pick<Address, 'twin' | 'connection'>): string {
  return value.connection === undefined ? `${value.twin}` : `${value.twin}:${value.connection}`;
}

/** The address in `17` or `17:session`, split at the first colon. */
export function parseAddress(text: string): Address {
  const colon = text.indexOf(':');
  const twin = colon < 0 ? text : text.slice(0, colon);
  if (!/^\d{1,10}$/.test(twin) || Number(twin) > 0xffff_ffff) {
    throw new GridError('envelope_field', { field: 'address', problem: 'invalid address twin id is not number' });
  }
  return address(Number(twin), colon < 0 ? undefined : text.slice(colon + 1));
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
