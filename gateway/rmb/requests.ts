/** What a caller may ask for, and its envelope. */
import { address, createEnvelope, type Envelope } from './envelope.ts';

export interface CallRequest {
  readonly twin: number;
  /** The other side's session, for services that use one. */
  readonly session?: string | undefined;
  readonly command: string;
  readonly payload: string | Uint8Array;
  readonly deadlineMs: number;
  /** Default `when-possible`: both twins have their key on the chain. */
  readonly encrypt?: 'when-possible' | 'never' | 'always';
  /** Words for whoever reads the message on its way; they are signed, never encrypted. */
  readonly tags?: readonly string[];
  /** Ask relays to refuse at once when the destination is not connected, instead of keeping the message for it. */
  readonly failFast?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A call with JSON both ways. */
export interface JsonCallRequest<T> extends Omit<CallRequest, 'payload'> {
  /** Anything JSON can say; absent it is `null`, as commands without an argument expect. */
  readonly argument?: unknown;
  /** Checks the answer and gives it a type: a zod schema, or anything with `parse`. */
  readonly output?: { parse(value: unknown): T };
}

/** A request whose sender waits elsewhere: it chose the uid, and several twins may get the same. */
export interface PostedRequest {
  readonly uid: string;
  readonly twin: number;
  readonly session?: string | undefined;
  readonly command: string;
  readonly payload: Uint8Array;
  readonly tags?: string | undefined;
  readonly schema: string;
  /** Seconds from now, from 1 to 1800. */
  readonly lifetimeSeconds: number;
  readonly signal?: AbortSignal | undefined;
}

export const SCHEMA = 'application/json';
export const MAX_LIFETIME_SECONDS = 1800;
const FAIL_FAST = 'fail-fast';

/** The tags' text; `undefined` where there are none. Throws `RangeError` for a tag that relays would read as several. */
export function formatTags({
  tags = [],
  failFast = false,
}: Pick<CallRequest, 'tags' | 'failFast'>): string | undefined {
  for (const tag of tags) {
    if (!/^[^\s,"{}[\]\p{Cc}]+$/u.test(tag)) throw new RangeError(`tag ${JSON.stringify(tag)} is not one word`);
  }
  const all = failFast && !tags.includes(FAIL_FAST) ? [...tags, FAIL_FAST] : tags;
  return all.length === 0 ? undefined : all.join(',');
}

/** The envelope of a call, without payload, time and signature. */
export function callEnvelope(
  uid: string,
  request: CallRequest,
  from: { twinId: number; session: string | undefined },
): Envelope {
  // A second longer than the caller waits: an answer on its way should not be refused for a rounded second.
  const lifetime = Math.min(MAX_LIFETIME_SECONDS, Math.ceil(request.deadlineMs / 1000) + 1);
  const tags = formatTags(request);
  return createEnvelope({
    uid,
    expiration: BigInt(lifetime),
    source: address(from.twinId, from.session),
    destination: address(request.twin, request.session),
    message: { case: 'request', value: { command: request.command } },
    schema: SCHEMA,
    ...(tags === undefined ? {} : { tags }),
  });
}

/** The envelope of a posted request, without payload, time and signature. */
export function postedEnvelope(
  request: PostedRequest,
  from: { twinId: number; session: string | undefined },
): Envelope {
  const { lifetimeSeconds } = request;
  if (!(lifetimeSeconds >= 1 && lifetimeSeconds <= MAX_LIFETIME_SECONDS)) {
    throw new RangeError(`lifetimeSeconds is ${lifetimeSeconds}, not from 1 to ${MAX_LIFETIME_SECONDS}`);
  }
  return createEnvelope({
    uid: request.uid,
    expiration: BigInt(Math.floor(lifetimeSeconds)),
    source: address(from.twinId, from.session),
    destination: address(request.twin, request.session),
    message: { case: 'request', value: { command: request.command } },
    schema: request.schema,
    ...(request.tags === undefined ? {} : { tags: request.tags }),
  });
}
