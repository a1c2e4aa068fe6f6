/** All ways to cut what was signed into a request that a door for `twin` could accept. */
import { address, createEnvelope, type Envelope } from '../../gateway/rmb/index.ts';
import { signedText } from './vector-envelopes.ts';

const SCHEMA = 'application/json';
/** Uid and tags together may have no more characters. */
const LONGEST_HEAD = 1152;

interface Left {
  readonly head: string;
  readonly timestamp: bigint;
  readonly expiration: bigint;
  readonly session: string;
  readonly commandAt: number;
}

/**
 * Every cut on the left (time, life, session, command), each with many cuts on
 * the right (federation, payload, relays). `text` has to be ASCII.
 */
export function* readings(signed: Envelope, twin: number): Generator<Envelope> {
  const text = signedText(signed).toString('latin1');
  const source = signed.source?.twin ?? 0;
  for (const left of lefts(text, source, twin)) {
    for (const [command, rest] of commandsAt(text, left.commandAt)) {
      for (const [federation, payload, relays] of rights(rest)) {
        for (const kind of ['plain', 'cipher'] as const) {
          const half = Math.floor(left.head.length / 2) || 1;
          for (const uid of new Set([left.head, left.head.slice(0, half)])) {
            const tags = left.head.slice(uid.length);
            const reading = createEnvelope({
              uid,
              timestamp: left.timestamp,
              expiration: left.expiration,
              source: address(source, left.session === '' ? undefined : left.session),
              destination: address(twin),
              message: { case: 'request', value: { command } },
              schema: SCHEMA,
              payload: { case: kind, value: Buffer.from(payload, 'latin1') },
              relays,
            });
            if (tags !== '') reading.tags = tags;
            if (federation !== '') reading.federation = federation;
            if (signed.signature !== undefined) reading.signature = signed.signature;
            yield reading;
          }
        }
      }
    }
  }
}

function* lefts(text: string, source: number, twin: number): Generator<Left> {
  for (const { index: timeAt } of text.matchAll(/(?=[1-9]\d{9}[1-9])/g)) {
    if (timeAt === 0 || timeAt > LONGEST_HEAD) continue;
    for (let digits = 1; digits <= 10; digits += 1) {
      const life = text.slice(timeAt + 10, timeAt + 10 + digits);
      const sourceAt = timeAt + 10 + digits;
      if (!/^\d+$/.test(life) || !text.startsWith(`${source}`, sourceAt)) continue;
      const sessionAt = sourceAt + `${source}`.length;
      for (let at = text.indexOf(`${twin}`, sessionAt); at >= 0; at = text.indexOf(`${twin}`, at + 1)) {
        yield {
          head: text.slice(0, timeAt),
          timestamp: BigInt(text.slice(timeAt, timeAt + 10)),
          expiration: BigInt(life),
          session: text.slice(sessionAt, at),
          commandAt: at + `${twin}`.length,
        };
      }
    }
  }
}

function* commandsAt(text: string, commandAt: number): Generator<[command: string, rest: string]> {
  for (let at = text.indexOf(SCHEMA, commandAt); at >= 0; at = text.indexOf(SCHEMA, at + 1)) {
    yield [text.slice(commandAt, at), text.slice(at + SCHEMA.length)];
  }
}

function* rights(rest: string): Generator<[federation: string, payload: string, relays: string[]]> {
  const cuts = [0, 1, 2, 5, 16, 17, 18, 30, rest.length].filter((cut) => cut <= rest.length);
  for (const front of cuts) {
    for (const back of cuts) {
      if (front + back > rest.length) continue;
      const relays = rest.slice(rest.length - back);
      yield [rest.slice(0, front), rest.slice(front, rest.length - back), relays.match(/.{1,200}/gs) ?? []];
    }
  }
}
