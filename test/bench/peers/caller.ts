/**
 * The callers of the RMB benchmarks, in a process of their own that does as
 * little as a caller can while it measures: requests are signed and encrypted
 * before, answers are matched by uid, and a sample of them is verified after.
 * Run by `callers.ts`: `node caller.ts RELAY KEYTYPE`, orders over IPC.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import {
  address,
  challenge,
  createEnvelope,
  createToken,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  type Identity,
  type KeyType,
  PayloadCipher,
  SignatureVerifier,
} from '../../../gateway/rmb/index.ts';
import type { CallerOrder, CallerResult } from './callers.ts';
import { CALLERS, identityOf, twinsOf } from './twins.ts';

const SESSION = 'bench';
/** Nodes remember requests this long: at thousands a second, minutes would be more than they have room for. */
const LIFETIME_SECONDS = 40;
const CONNECT_DEADLINE_MS = 10_000;
/** Answers of one order that are verified. */
const SAMPLE = 16;
/** How long the last answers are waited for. */
const LAST_ANSWER_MS = 5_000;

interface Caller {
  readonly twin: number;
  readonly identity: Identity;
  readonly cipher: PayloadCipher;
  readonly socket: WebSocket;
}

interface Ready {
  readonly caller: Caller;
  readonly uid: string;
  readonly bytes: Uint8Array;
}

const [, , relay = '', keyType] = process.argv;
const twins = await twinsOf(keyType as KeyType);
const verifier = new SignatureVerifier();
const callers: Caller[] = [];
/** Requests on their way: when they were due. */
const pending = new Map<string, number>();
let ready: Ready[] = [];
let onAnswer: (envelope: Envelope, sentAt: number) => void = () => undefined;

for (const twin of CALLERS) {
  const identity = await identityOf(twin, keyType as KeyType);
  const token = createToken(identity, twin, SESSION, Math.floor(Date.now() / 1000));
  const socket = new WebSocket(`${relay}/?${token}`, { perMessageDeflate: false });
  await once(socket, 'open', { signal: AbortSignal.timeout(CONNECT_DEADLINE_MS) });
  socket.on('message', (data: Buffer) => {
    const envelope = decodeEnvelope(data);
    const sentAt = pending.get(envelope.uid);
    if (sentAt === undefined) return;
    pending.delete(envelope.uid);
    onAnswer(envelope, sentAt);
  });
  socket.on('close', (code) => {
    throw new Error(`the relay closed a caller's line with ${code}`);
  });
  callers.push({ twin, identity, cipher: new PayloadCipher(identity), socket });
}

/** Signs requests of all callers in turn; none of it is measured. */
async function prepare(to: number, command: string, count: number): Promise<void> {
  const key = (await twins.twin(to))?.encryptionKey;
  if (key == null) throw new Error(`twin ${to} has no encryption key`);
  const payload = Buffer.from('null');
  ready = [];
  for (let index = 0; index < count; index += 1) {
    const caller = callers[index % callers.length] as Caller;
    // Readers tell uid and time apart by the letter.
    const uid = `${randomUUID().slice(0, -1)}a`;
    const envelope = createEnvelope({
      uid,
      timestamp: BigInt(Math.floor(Date.now() / 1000)),
      expiration: BigInt(LIFETIME_SECONDS),
      source: address(caller.twin, SESSION),
      destination: address(to),
      message: { case: 'request', value: { command } },
      schema: 'application/json',
      payload: { case: 'cipher', value: caller.cipher.encrypt(payload, key) },
    });
    envelope.signature = caller.identity.sign(challenge(envelope));
    ready.push({ caller, uid, bytes: encodeEnvelope(envelope) });
  }
}

function send({ caller, uid, bytes }: Ready, dueAt: number): void {
  pending.set(uid, dueAt);
  caller.socket.send(bytes);
}

/** Sends what is prepared: `lanes` at once, each next one for an answer, or `perSecond` whatever comes back. */
async function run(order: Extract<CallerOrder, { readonly lanes: number } | { readonly perSecond: number }>) {
  const result = { accepted: [] as number[], refused: [] as number[], codes: {} as Record<string, number> };
  const sample: Envelope[] = [];
  const count = ready.length;
  const startedAt = performance.now();
  const countFrom = startedAt + ('lanes' in order ? 0 : order.skipMs);
  let sent = 0;
  let counted = 0;
  let lastAt = startedAt;
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const next = (dueAt: number): void => {
    send(ready[sent] as Ready, dueAt);
    sent += 1;
    if (dueAt >= countFrom) counted += 1;
  };
  onAnswer = (envelope, sentAt) => {
    lastAt = performance.now();
    const took = Math.round((lastAt - sentAt) * 1000) / 1000;
    const { message } = envelope;
    if (sentAt < countFrom) {
      // Part of the load only.
    } else if (message.case === 'response') {
      result.accepted.push(took);
      if (sample.length < SAMPLE) sample.push(envelope);
    } else if (message.case === 'error') {
      result.refused.push(took);
      result.codes[message.value.code] = (result.codes[message.value.code] ?? 0) + 1;
    }
    if ('lanes' in order && sent < count) next(lastAt);
    else if (sent === count && pending.size === 0) finish();
  };
  if ('lanes' in order) {
    for (let lane = 0; lane < Math.min(order.lanes, count); lane += 1) next(performance.now());
  } else {
    const gap = 1000 / order.perSecond;
    const pump = (): void => {
      const now = performance.now();
      // The time a request was due counts, not the one at which this process came to it.
      while (sent < count && startedAt + sent * gap <= now) next(startedAt + sent * gap);
      if (sent < count) setTimeout(pump, 1);
    };
    pump();
  }
  const watch = setInterval(() => {
    if (performance.now() - lastAt > LAST_ANSWER_MS) finish();
  }, 100);
  await finished;
  clearInterval(watch);
  const unanswered = [...pending.values()].filter((dueAt) => dueAt >= countFrom).length;
  pending.clear();
  await believe(sample);
  return { ...result, sent: counted, unanswered, seconds: (lastAt - startedAt) / 1000 };
}

/** An answer that nobody could believe would be no answer. */
async function believe(sample: readonly Envelope[]): Promise<void> {
  for (const envelope of sample) {
    const twin = await twins.twin(envelope.source?.twin ?? 0);
    const caller = callers.find((one) => one.twin === envelope.destination?.twin);
    if (twin?.encryptionKey == null || caller === undefined) throw new Error('an answer from or to a stranger');
    const fault = await verifier.verify(twin.account, challenge(envelope), envelope.signature);
    if (fault !== undefined) throw new Error(`an answer is not believed: ${fault}`);
    if (envelope.payload.case !== 'cipher') throw new Error('an answer is not encrypted');
    JSON.parse(Buffer.from(caller.cipher.decrypt(envelope.payload.value, twin.encryptionKey)).toString('utf8'));
  }
}

process.on('disconnect', () => process.exit(0));
process.on('message', (order: CallerOrder) => {
  const work: Promise<CallerResult> = 'prepare' in order ? prepareFor(order) : run(order);
  work.then(
    (result) => process.send?.(result),
    (error: unknown) => {
      throw error;
    },
  );
});

async function prepareFor(order: Extract<CallerOrder, { readonly prepare: number }>): Promise<CallerResult> {
  await prepare(order.twin, order.command, order.prepare);
  return { sent: 0, seconds: 0, accepted: [], refused: [], codes: {}, unanswered: 0 };
}

process.send?.({ msg: 'ready' });
