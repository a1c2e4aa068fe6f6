/** The JSON texts in the local queues, as rmb-peer and its clients and services write them. */
import { z } from 'zod';
import type { Failure } from './failures.ts';

/** Bytes of one text in a queue. */
export const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
const MAX_DESTINATIONS = 4096;
const MAX_REFERENCE_LENGTH = 1024;
const MAX_TEXT_LENGTH = 64 * 1024;
/** Nothing an envelope's texts may have: see what a peer's door refuses. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNFIT = /[\u0000-\u001f\u007f"{}[\]]/;

const u32 = z.int().min(0).max(0xffff_ffff);
const envelopeText = (limit: number) =>
  z
    .string()
    .max(limit)
    .refine((text) => !UNFIT.test(text), 'has a control character or one of " { } [ ]');

const LocalRequest = z.object({
  ver: z.int(),
  ref: z.string().max(MAX_REFERENCE_LENGTH).nullish(),
  cmd: envelopeText(256).min(1),
  exp: z.int(),
  dat: z.string(),
  tag: envelopeText(1024).nullish(),
  dst: z.array(u32.min(1)).min(1).max(MAX_DESTINATIONS),
  ret: z.string(),
  shm: envelopeText(128).nullish(),
  now: z.int().nonnegative(),
  /** Session of the destinations; rmb-peer has none, the Go library writes it. */
  con: envelopeText(128).nullish(),
});
export type LocalRequest = z.infer<typeof LocalRequest>;

const ServiceReply = z.object({
  ver: z.int(),
  ref: z.string().min(1).max(MAX_REFERENCE_LENGTH),
  dat: z.string(),
  dst: z.string().min(1).max(256),
  shm: z.string().nullish(),
  now: z.int(),
  err: z.object({ code: u32, message: z.string().max(MAX_TEXT_LENGTH) }).nullish(),
});
export type ServiceReply = z.infer<typeof ServiceReply>;

/** What could be read of a text that is not what it should be. */
export interface Unreadable {
  readonly problem: string;
  readonly ret: string | undefined;
  readonly ref: string | undefined;
  readonly dst: string | undefined;
}

export type Reading<T> = { readonly message: T } | { readonly unreadable: Unreadable };

export const readLocalRequest = (text: string): Reading<LocalRequest> => read(LocalRequest, text);
export const readServiceReply = (text: string): Reading<ServiceReply> => read(ServiceReply, text);

function read<T>(schema: z.ZodType<T>, text: string): Reading<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { unreadable: unreadable(text, undefined, 'the message is not JSON') };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { message: parsed.data };
  const [issue] = parsed.error.issues;
  return { unreadable: unreadable(text, json, `${issue?.path.join('.') || 'the message'}: ${issue?.message}`) };
}

/** Who sent a text and waits where, as far as it says so. */
export function unreadable(text: string, json: unknown, problem: string): Unreadable {
  const fields = typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  const field = (name: string): string | undefined => {
    if (fields === undefined) return salvage(text, name);
    const value = fields[name];
    return typeof value === 'string' && value.length <= MAX_REFERENCE_LENGTH ? value : undefined;
  };
  return { problem, ret: field('ret'), ref: field('ref'), dst: field('dst') };
}

/** A plain text value in what is not JSON as a whole. A name twice could be two messages: then there is none. */
function salvage(text: string, name: string): string | undefined {
  const found = [...text.slice(0, 64 * 1024).matchAll(new RegExp(`"${name}"\\s*:\\s*"([^"\\\\]{1,128})"`, 'g'))];
  return found.length === 1 ? found[0]?.[1] : undefined;
}

/** The bytes of standard base64 with padding, `undefined` for anything else. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

export interface ServiceRequest {
  readonly uid: string;
  readonly source: string;
  readonly command: string;
  readonly lifetimeSeconds: number;
  readonly payload: Uint8Array;
  readonly tags: string | undefined;
  readonly schema: string | undefined;
  readonly timestamp: number;
}

/** A request as a service takes it from its queue. */
export function formatServiceRequest(request: ServiceRequest): string {
  return JSON.stringify({
    ver: 1,
    ref: request.uid,
    src: request.source,
    cmd: request.command,
    exp: request.lifetimeSeconds,
    dat: Buffer.from(request.payload).toString('base64'),
    tag: request.tags ?? null,
    ret: 'msgbus.system.reply',
    shm: request.schema ?? null,
    now: request.timestamp,
  });
}

export interface ClientAnswer {
  /** The client's own reference. */
  readonly ref: string | null;
  /** Address of who answered; `0` where a relay did, which signs nothing. */
  readonly source: string;
  readonly schema: string | null;
  readonly timestamp: number;
  readonly result: Uint8Array | Failure;
}

/** An answer as a client takes it from its list. */
export function formatClientAnswer(answer: ClientAnswer): string {
  const { result } = answer;
  const failed = !(result instanceof Uint8Array);
  return JSON.stringify({
    ver: 1,
    ref: answer.ref,
    dat: failed ? '' : Buffer.from(result).toString('base64'),
    src: answer.source,
    shm: answer.schema,
    now: answer.timestamp,
    err: failed ? { code: result.code, message: result.message } : null,
  });
}

/** What the peer itself tells a client: nobody answered. */
export function formatLocalFailure(ref: string | null | undefined, failure: Failure): string {
  return formatClientAnswer({ ref: ref ?? null, source: '', schema: null, timestamp: 0, result: failure });
}
