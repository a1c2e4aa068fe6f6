/**
 * Federation in: `POST /` with one envelope. Whoever posts is a stranger, so a
 * message is queued only after its signature, its life and its destination were
 * checked, the cheap checks first. What comes in never goes out again.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BlockList, isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { groupsOf } from '../../../modules/host/addresses.ts';
import { challenge } from '../../rmb/challenge.ts';
import {
  decodeEnvelope,
  type Envelope,
  findFieldProblem,
  formatAddress,
  MAX_FRAME_BYTES,
  nowSeconds,
  remainingSeconds,
} from '../../rmb/envelope.ts';
import { type SignatureVerifier, VerifierBusyError } from '../../rmb/signature.ts';
import { findSignatureFormFault } from '../../rmb/signature-form.ts';
import type { TwinSource } from '../../rmb/twins.ts';
import type { Mail } from '../mail.ts';
import type { RelayMetrics } from '../metrics.ts';
import { type MessageLimits, WindowedLimit } from '../rate.ts';
import { hasFailFast, relayTexts } from '../replies.ts';
import { sharesDomain } from '../routing.ts';
import { Shares } from './shares.ts';

export interface IncomingOptions {
  readonly domains: readonly string[];
  readonly twins: TwinSource;
  readonly verifier: SignatureVerifier;
  readonly mail: Mail;
  readonly metrics: RelayMetrics;
  readonly log: Logger;
  /** Messages of a twin, by its id; shared with what its sessions send. */
  readonly limit: WindowedLimit<number> | undefined;
  /** Of one source address. */
  readonly addressLimits?: MessageLimits;
  /** Proxies (`ADDRESS/BITS`) whose `X-Forwarded-For` names the source. */
  readonly proxies?: readonly string[];
}

/** Another relay may speak for many twins: 2,000 messages and 34 MiB a second. */
const DEFAULT_ADDRESS_LIMITS: MessageLimits = { count: 120_000, bytes: 2 * 1024 ** 3 };
const MAX_ADDRESSES = 50_000;
/** Bodies being read or checked, and their bytes: of all, and of one address. */
const MAX_OPEN = 256;
const MAX_OPEN_BYTES = 64 * 1024 * 1024;
const ADDRESS_SHARE = { messages: 64, bytes: MAX_OPEN_BYTES / 2 };
const READ_MS = 15_000;
/** Messages remembered, so that one that is posted again (its 202 was lost) is queued once. */
const MAX_SEEN = 50_000;
const SEEN_MS = 600_000;

interface PostAnswer {
  readonly status: number;
  readonly body: string;
}

const ACCEPTED: PostAnswer = { status: 202, body: '' };
const TOO_LARGE: PostAnswer = { status: 413, body: `message is larger than ${MAX_FRAME_BYTES} bytes` };
const RATE_LIMITED: PostAnswer = { status: 429, body: relayTexts.rateLimited };
/** Not 4xx: that would be final for the message. */
const BUSY: PostAnswer = { status: 503, body: 'too many messages at once' };
const LOOKUP_FAILED: PostAnswer = { status: 500, body: `switch error: ${relayTexts.lookupFailed}` };

export class Incoming {
  readonly #options: IncomingOptions;
  readonly #addresses: WindowedLimit<string>;
  readonly #proxies = new BlockList();
  readonly #seen = new LRUCache<string, true>({ max: MAX_SEEN, ttl: SEEN_MS });
  readonly #shares = new Shares<string>(ADDRESS_SHARE);
  /** Checked messages on their way: who posts one again meanwhile hears what became of it. */
  readonly #delivering = new Map<string, Promise<PostAnswer>>();
  #open = 0;
  #openBytes = 0;

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.#addresses = new WindowedLimit(options.addressLimits ?? DEFAULT_ADDRESS_LIMITS, MAX_ADDRESSES);
    for (const range of options.proxies ?? []) {
      const [address = '', bits] = range.split('/');
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      this.#proxies.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
    }
  }

  /** Answers one POST. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const source = this.#sourceOf(request);
    if (this.#open >= MAX_OPEN || !this.#shares.hasRoom(source, 0)) return this.#reply(response, BUSY);
    this.#open += 1;
    this.#shares.count(source, 1, 0);
    let held = 0;
    const hold = (bytes: number): boolean => {
      held += bytes;
      this.#openBytes += bytes;
      this.#shares.count(source, 0, bytes);
      return this.#openBytes <= MAX_OPEN_BYTES && this.#shares.isWithin(source);
    };
    try {
      const body = await readBody(request, hold);
      if (!(body instanceof Uint8Array)) return this.#reply(response, body);
      this.#reply(response, await this.#receive(body, source));
    } catch (error) {
      this.#options.log.info({ reason: (error as Error).message }, 'post from another relay failed');
      this.#reply(response, { status: 500, body: 'switch error: internal error' });
    } finally {
      this.#open -= 1;
      this.#openBytes -= held;
      this.#shares.count(source, -1, -held);
    }
  }

  async #receive(bytes: Uint8Array, source: string): Promise<PostAnswer> {
    if (!this.#addresses.take(source, bytes.length)) return RATE_LIMITED;
    let envelope: Envelope;
    try {
      envelope = decodeEnvelope(bytes);
    } catch (error) {
      return badRequest((error as Error).message);
    }
    const form = formProblem(envelope);
    if (form !== undefined) return badRequest(form);
    if (remainingSeconds(envelope, nowSeconds()) <= 0) return { status: 400, body: relayTexts.expired };
    // Not of the bytes: one message has many encodings, and whoever caught it could use up its sender's share with them.
    const to = formatAddress(envelope.destination ?? { twin: 0 });
    const kind = `${envelope.message.case} ${envelope.payload.case} ${to}`;
    const digest = createHash('sha256').update(challenge(envelope)).update(kind).digest('base64');
    if (this.#seen.has(digest)) return ACCEPTED;
    const refusal = (await this.#checkDestination(envelope)) ?? (await this.#checkSource(envelope));
    if (refusal !== undefined) return refusal;
    const same = this.#delivering.get(digest);
    if (same !== undefined) return await same;
    if (this.#seen.has(digest)) return ACCEPTED;
    // Counted only now: before, anybody could use up another twin's share.
    const from = envelope.source?.twin ?? 0;
    if (this.#options.limit?.take(from, bytes.length) === false) return RATE_LIMITED;
    const delivering = this.#deliver(envelope, bytes, digest).finally(() => this.#delivering.delete(digest));
    this.#delivering.set(digest, delivering);
    return await delivering;
  }

  async #checkDestination({ destination, tags }: Envelope): Promise<PostAnswer | undefined> {
    const { twins, domains, mail } = this.#options;
    if (destination === undefined) return badRequest(relayTexts.missingDestination);
    try {
      const twin = await twins.twin(destination.twin);
      if (twin === undefined) return { status: 404, body: relayTexts.unknownTwin };
      if (!sharesDomain(twin.relay, domains)) return { status: 404, body: 'destination is not on this relay' };
    } catch (error) {
      this.#options.log.error({ twin: destination.twin, reason: (error as Error).message }, 'twin lookup failed');
      return LOOKUP_FAILED;
    }
    const away = hasFailFast(tags) && !mail.isConnected(destination);
    return away ? { status: 404, body: relayTexts.offline } : undefined;
  }

  async #checkSource(envelope: Envelope): Promise<PostAnswer | undefined> {
    const { twins, verifier, log } = this.#options;
    const id = envelope.source?.twin ?? 0;
    let fault = '';
    try {
      const digest = challenge(envelope);
      // A key that fails may have changed on the chain: it is loaded anew once.
      for (const fresh of [false, true]) {
        const twin = await twins.twin(id, { fresh });
        if (twin === undefined) return { status: 401, body: `twin not found ${id}` };
        const found = await verifier.verify(twin.account, digest, envelope.signature);
        if (found === undefined) return undefined;
        fault = found;
      }
    } catch (error) {
      if (error instanceof VerifierBusyError) return BUSY;
      log.error({ twin: id, reason: (error as Error).message }, 'twin lookup failed');
      return LOOKUP_FAILED;
    }
    return { status: 401, body: `invalid envelope signature: ${fault}` };
  }

  async #deliver(envelope: Envelope, bytes: Uint8Array, digest: string): Promise<PostAnswer> {
    if (envelope.destination === undefined) return badRequest(relayTexts.missingDestination);
    const result = await this.#options.mail.deliver(envelope.destination, bytes);
    if (result === 'full') return { status: 429, body: relayTexts.queueFull };
    if (result === 'failed') return { status: 500, body: `switch error: ${relayTexts.queueFailed}` };
    this.#seen.set(digest, true);
    return ACCEPTED;
  }

  /** The address that counts for limits; behind our own proxy the one that it names last. */
  #sourceOf(request: IncomingMessage): string {
    const peer = request.socket.remoteAddress ?? '';
    const address = peer.replace(/^::ffff:/, '');
    if (!this.#proxies.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')) return subscriberOf(address);
    const named = request.headers['x-forwarded-for'];
    const last = (Array.isArray(named) ? named.join(',') : (named ?? '')).split(',').at(-1)?.trim().slice(0, 64);
    return subscriberOf(last || address);
  }

  #reply(response: ServerResponse, { status, body }: PostAnswer): void {
    this.#options.metrics.posts.inc({ status });
    if (response.destroyed || response.headersSent) return;
    response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body);
  }
}

/** What a peer may send to another relay's twin: requests and their answers, signed. */
function formProblem(envelope: Envelope): string | undefined {
  const kind = envelope.message.case;
  if (kind === 'ping' || kind === 'pong') return `a ${kind} stays within its relay`;
  return findFieldProblem(envelope)?.message ?? findSignatureFormFault(envelope.signature);
}

/** An IPv4 address, or the 64 bits of an IPv6 address that one subscriber has: the others are its to choose. */
export function subscriberOf(text: string): string {
  const address = text.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!isIPv6(address)) return address;
  const network = groupsOf(address).slice(0, 4);
  return `${network.map((group) => group.toString(16)).join(':')}::/64`;
}

function badRequest(text: string): PostAnswer {
  return { status: 400, body: `bad request: ${text}` };
}

/** The body, or the answer where it is too large or there is no memory for it now. */
async function readBody(request: IncomingMessage, hold: (bytes: number) => boolean): Promise<Uint8Array | PostAnswer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > MAX_FRAME_BYTES) return TOO_LARGE;
  const deadline = setTimeout(() => request.destroy(new Error(`no body within ${READ_MS} ms`)), READ_MS);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // The rest of a body that is too large is still read, so that the answer arrives.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_FRAME_BYTES) return TOO_LARGE;
      // Counted as it comes: to announce a body costs nothing.
      if (!hold(chunk.length)) return BUSY;
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(deadline);
  }
  return Buffer.concat(chunks, size);
}
