/**
 * A node's peer from outside: what it says to each envelope, one case a line.
 * Requests go through the real relay, or, where that would not let them pass,
 * through one that checks nothing. After each case the peer answers a good one.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  address,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  Identity,
  PayloadCipher,
} from '../../gateway/rmb/index.ts';
import { daemons, type Gate, PeerGates, type Via } from './peer-gate.ts';
import {
  A,
  aged,
  B,
  BARE,
  cipher,
  command,
  flip,
  from,
  kind,
  message,
  N,
  NODE,
  OTHER,
  plain,
  request,
  S,
  SESSION,
  sealed,
  signatureOf,
  tampered,
  to,
  USER,
  VECTOR_SECONDS,
  vector,
} from './peer-requests.ts';
import { RawLine } from './raw-line.ts';

let peer: PeerGates;
let gates: Record<Via, Gate>;

beforeAll(async () => {
  ({ all: peer, gates } = await PeerGates.open());
}, 120_000);
afterAll(() => peer?.close());

interface Expected {
  readonly answer?: 'response' | 'error';
  readonly code?: number;
  readonly text?: RegExp;
  /** Counted so, and answered with nothing. */
  readonly silent?: Readonly<Record<string, string>>;
  readonly daemons?: readonly string[];
}
type Make = () => Envelope | Uint8Array;
type Case = readonly [name: string, via: Via, make: Make, expected: Expected];

const answered: Expected = { answer: 'response', text: /^\[\{"name":"pool"/, daemons: ['storage.Metrics'] };
const refused = (code: number, text: RegExp): Expected => ({ answer: 'error', code, text });
const silent = (check: string, code: string): Expected => ({ silent: { check, code } });
const ignored = (reason: string): Expected => ({ silent: { reason } });
/** No envelope at all: it does not come to the door. */
const dropped: Expected = {};
const unsigned = silent('signature', 'signature_invalid');
const field = silent('shape', 'envelope_field');

const cases: readonly Case[] = [
  ['a request in clear', 'relay', () => request(), answered],
  ['an encrypted request', 'relay', () => request(sealed('null')), answered],
  ['an empty payload, as the TypeScript client sends', 'relay', () => request(plain('')), answered],
  ['an empty payload, encrypted', 'relay', () => request(sealed('')), answered],
  ['tags that are there and empty', 'relay', () => request({ tags: '' }), answered],
  ['federation and relays', 'relay', () => request({ federation: 'a.b', relays: ['x.y', 'z'] }), answered],
  ['a uid of one character', 'relay', () => request({ uid: '~' }), answered],
  ['a uid of 128 characters', 'relay', () => request({ uid: 'u'.repeat(128) }), answered],
  ['a uid with spaces and letters of all kinds', 'relay', () => request({ uid: 'é ü 漢 🙂' }), answered],
  ['an expiration of 3600 s', 'relay', () => request({ expiration: 3600n }), answered],
  ['a timestamp 50 s ahead', 'relay', () => request(aged(-50)), answered],
  ['a payload that is no JSON where none is read', 'relay', () => request(plain('{{')), answered],
  ['an sr25519 twin without a key', 'hostile', () => request(from(BARE), S), answered],
  ['no session', 'hostile', () => request({ source: address(USER) }), answered],
  ['an empty session', 'hostile', () => request(from(USER, '')), answered],
  [
    'an unknown field',
    'relay',
    () => Buffer.concat([encodeEnvelope(request()), Buffer.from('a20601aa', 'hex')]),
    answered,
  ],
  ['encrypted, where that is asked', 'strict', () => request(sealed('null')), answered],
  ['in clear of a twin without a key, where that is asked of others', 'strict', () => request(from(BARE), S), answered],

  ['a command that does not exist', 'relay', () => request(command('zos.no')), refused(0, /^function is not found$/)],
  [
    'rmb.version, which is for rmb-peer',
    'relay',
    () => request(command('rmb.version')),
    refused(0, /^function is not found$/),
  ],
  ['no command', 'relay', () => request(command('')), refused(0, /^function is not found$/)],
  ['a name of every object', 'relay', () => request(command('__proto__')), refused(0, /^function is not found$/)],
  [
    "a farmer's command under its old name",
    'relay',
    () => request(command('zos.network.admin.interfaces')),
    { ...refused(0, /^unauthorized$/), daemons: ['chain.Node'] },
  ],
  [
    'an argument that is no JSON',
    'relay',
    () => request({ ...command('zos.deployment.get'), ...plain('{') }),
    refused(2003, /unexpected end of JSON/),
  ],
  [
    'no argument where one is read',
    'relay',
    () => request({ ...command('zos.deployment.get'), ...plain('') }),
    refused(2003, /unexpected end of JSON/),
  ],
  [
    'an argument of the wrong type',
    'relay',
    () => request({ ...command('zos.deployment.get'), ...plain('{"contract_id":"x"}') }),
    refused(2003, /of type uint64/),
  ],
  [
    'an expiration of 0',
    'relay',
    () => request({ expiration: 0n }),
    refused(1103, /asks to live 0 s, from 1 s to 3600 s/),
  ],
  ['an expiration of 3601 s', 'relay', () => request({ expiration: 3601n }), refused(1103, /asks to live 3601 s/)],
  [
    'an expired request',
    'hostile',
    () => request(aged(61)),
    refused(1101, /^message has expired: this clock says \d{10}, the sender's said \d{10}, \d+ s earlier/),
  ],
  [
    'a timestamp from the future',
    'hostile',
    () => request(aged(-400)),
    refused(1102, /from the future: .*at most 60 s ahead/),
  ],
  [
    'a payload beyond the limit',
    'hostile',
    () => request(plain(Buffer.alloc(1_400_000))),
    refused(1004, /^payload of 1400000 bytes is larger than the limit of 1310720/),
  ],
  [
    'an envelope beyond the limit',
    'hostile',
    () => request(plain(Buffer.alloc(2_100_000))),
    refused(1000, /^envelope of 21\d{5} bytes is larger than the limit of 2097152/),
  ],
  [
    'encrypted with other keys',
    'relay',
    () => request(sealed('null', B)),
    refused(1112, /^the payload of twin 7 cannot be decrypted/),
  ],
  [
    'a cipher shorter than its frame',
    'relay',
    () => request(cipher(Buffer.alloc(27))),
    refused(1112, /invalid cipher data/),
  ],
  ['an empty cipher', 'relay', () => request(cipher(Buffer.alloc(0))), refused(1112, /invalid cipher data/)],
  [
    'encrypted by a twin that has no key on the chain',
    'hostile',
    () => request({ ...from(BARE), ...sealed('null', S) }, S),
    refused(1111, /^the payload is encrypted but twin 9 has no public key/),
  ],
  [
    'in clear where encryption is asked',
    'strict',
    () => request(),
    refused(1113, /^twin 7 has a public key on the chain, so its requests must be encrypted/),
  ],

  ['a response that nobody waits for', 'hostile', () => request(kind('response')), dropped],
  [
    'an error that nobody waits for',
    'hostile',
    () => request(message({ case: 'error', value: { code: 0, message: 'x' } })),
    dropped,
  ],
  ['a ping', 'hostile', () => request(kind('ping')), dropped],
  ['a pong', 'hostile', () => request(kind('pong')), dropped],
  ['no kind', 'hostile', () => request({ message: { case: undefined } }), dropped],
  ['no schema', 'hostile', () => request({ schema: undefined as never }), ignored('schema')],
  ['an empty schema', 'hostile', () => request({ schema: '' }), ignored('schema')],
  ['another schema', 'hostile', () => request({ schema: 'text/plain' }), ignored('schema')],
  [
    'a schema with parameters',
    'hostile',
    () => request({ schema: 'application/json; charset=utf-8' }),
    ignored('schema'),
  ],
  ['no payload', 'hostile', () => request({ payload: { case: undefined } }), ignored('no_payload')],
  ['no uid', 'hostile', () => request({ uid: '' }), field],
  ['a uid of 129 characters', 'hostile', () => request({ uid: 'u'.repeat(129) }), field],
  ['a uid with a line feed', 'hostile', () => request({ uid: 'a\nb' }), field],
  ['a uid with a NUL', 'hostile', () => request({ uid: 'a\0b' }), field],
  ['a uid with DEL', 'hostile', () => request({ uid: 'a\u007fb' }), field],
  ['a session with a control character', 'hostile', () => request(from(USER, 'a\u001b')), field],
  ['a session of 129 characters', 'hostile', () => request(from(USER, 's'.repeat(129))), field],
  ['a command of 257 characters', 'hostile', () => request(command('c'.repeat(257))), field],
  ['a command with a control character', 'hostile', () => request(command('zos.\r\n')), field],
  ['tags of 1025 characters', 'hostile', () => request({ tags: 't'.repeat(1025) }), field],
  ['17 relays', 'hostile', () => request({ relays: Array.from({ length: 17 }, () => 'r') }), field],
  ['no time', 'hostile', () => request({ timestamp: 0n }), field],
  ['a time in milliseconds', 'hostile', () => request({ timestamp: BigInt(Date.now()) }), field],
  ['the latest time there is', 'hostile', () => request({ timestamp: 0xffff_ffff_ffff_ffffn }), field],
  ['the longest expiration there is', 'hostile', () => request({ expiration: 0xffff_ffff_ffff_ffffn }), field],
  ['no source', 'hostile', () => request({ source: undefined as never }), field],
  ['source twin 0, as relays use', 'hostile', () => request(from(0, undefined)), field],
  ['no destination', 'hostile', () => request({ destination: undefined as never }), field],
  ['destination twin 0', 'hostile', () => request(to(0)), field],
  ['another twin as destination', 'hostile', () => request(to(OTHER)), silent('destination', 'destination_not_here')],
  ['a session as destination', 'hostile', () => request(to(NODE, 'x')), silent('destination', 'destination_not_here')],
  [
    'an empty session as destination',
    'hostile',
    () => request(to(NODE, '')),
    silent('destination', 'destination_not_here'),
  ],
  ['a source that the chain does not know', 'hostile', () => request(from(4000)), silent('twin', 'twin_unknown')],
  ['no signature', 'hostile', () => tampered({ signature: undefined as never }), unsigned],
  ['an empty signature', 'hostile', () => signatureOf(() => new Uint8Array(0)), unsigned],
  ['64 bytes of signature', 'hostile', () => signatureOf((bytes) => bytes.subarray(1)), unsigned],
  ['66 bytes of signature', 'hostile', () => signatureOf((bytes) => Buffer.concat([bytes, Buffer.alloc(1)])), unsigned],
  ['a signature of no type', 'hostile', () => signatureOf((bytes) => flip(bytes, 0)), unsigned],
  [
    'a signature of the other type',
    'hostile',
    () => signatureOf((bytes) => Buffer.concat([Buffer.from('s'), bytes.subarray(1)])),
    unsigned,
  ],
  ['one flipped bit of signature', 'hostile', () => signatureOf((bytes) => flip(bytes, 40)), unsigned],
  [
    'a signature of zeros',
    'hostile',
    () => signatureOf((bytes) => Buffer.concat([bytes.subarray(0, 1), Buffer.alloc(64)])),
    unsigned,
  ],
  ["another twin's signature", 'hostile', () => request({}, B), unsigned],
  ['another uid than was signed', 'hostile', () => tampered({ uid: randomUUID() }), unsigned],
  ['another command than was signed', 'hostile', () => tampered(command('zos.deployment.list')), unsigned],
  ['another payload than was signed', 'hostile', () => tampered(plain('{}')), unsigned],
  ['another life than was signed', 'hostile', () => tampered({ expiration: 61n }), unsigned],
  ['another source than signed', 'hostile', () => tampered(from(OTHER)), unsigned],
  [
    'another schema than was signed',
    'hostile',
    () => tampered({ schema: 'application/json' }, request({ schema: 'text/plain' })),
    unsigned,
  ],
  ['an expired request of nobody', 'hostile', () => request(aged(61), B), silent('lifetime', 'envelope_expired')],
  [
    'too large a request of nobody',
    'hostile',
    () => request(plain(Buffer.alloc(2_100_000)), B),
    silent('size', 'envelope_too_large'),
  ],

  ['nothing', 'hostile', () => new Uint8Array(0), dropped],
  ['bytes that are no envelope', 'hostile', () => Buffer.from('GET / HTTP/1.1\r\n\r\n'), dropped],
  ['an envelope that ends too early', 'hostile', () => encodeEnvelope(request()).subarray(0, 100), dropped],
  [
    'a uid that is a number',
    'hostile',
    () => Buffer.concat([Buffer.from('0801', 'hex'), encodeEnvelope(request()).subarray(38)]),
    dropped,
  ],
  [
    'a uid that is no UTF-8',
    'hostile',
    () => Buffer.concat([Buffer.from('0a02fffe', 'hex'), encodeEnvelope(request()).subarray(38)]),
    dropped,
  ],
  ['a length beyond the end', 'hostile', () => Buffer.from('0affffffff0f', 'hex'), dropped],
];

/** Each at a door of its own, whose clock is the vectors': they share one uid. */
const vectorCases: readonly [name: string, expected: Expected][] = [
  ['request-plain-ed25519', { answer: 'response', text: /^\{"zos":"/ }],
  ['request-cipher-ed25519-go-style', { answer: 'error', daemons: ['provision.Get'] }],
  ['request-empty-plain-present', { answer: 'response', text: /^\{"zos":"/ }],
  ['response-cipher-ed25519', dropped],
  ['error-from-peer-ed25519', dropped],
  ['relay-error-websocket', dropped],
  ['relay-error-federation', dropped],
  ['ts-ping', dropped],
  ['relay-pong-for-ts-ping', dropped],
  ['unsigned', unsigned],
  ['empty-signature', unsigned],
  ['64-bytes-no-prefix', unsigned],
  ['unknown-prefix', unsigned],
  ['flipped-bit', unsigned],
  ['good', { answer: 'response', text: /^\{"zos":"/ }],
];

async function payloadOf({ payload }: Envelope, reader: Identity): Promise<string> {
  const bytes =
    payload.case === 'cipher' ? new PayloadCipher(reader).decrypt(payload.value, N.encryptionKey) : payload.value;
  return Buffer.from(bytes ?? []).toString();
}

async function expectCase(
  gate: Gate,
  bytes: Uint8Array,
  uid: string,
  reader: Identity,
  expected: Expected,
): Promise<void> {
  const daemonsBefore = daemons.length;
  const before = expected.silent === undefined ? 0 : await gate.counted(expected.silent);
  const seen = gate.received.length;
  gate.send(bytes);
  if (expected.answer !== undefined) {
    const answer = await gate.answer(uid);
    expect(answer?.message.case).toBe(expected.answer);
    if (answer === undefined) return;
    expect(answer).toMatchObject({ source: { twin: NODE }, schema: 'application/json' });
    expect(answer.signature?.length).toBe(65);
    if (answer.message.case === 'error') {
      if (expected.code !== undefined) expect(answer.message.value.code).toBe(expected.code);
      if (expected.text !== undefined) expect(answer.message.value.message).toMatch(expected.text);
    } else if (expected.text !== undefined) expect(await payloadOf(answer, reader)).toMatch(expected.text);
  }
  const { silent: label } = expected;
  if (label !== undefined)
    await expect.poll(() => gate.counted(label), { timeout: 20_000, interval: 5 }).toBe(before + 1);

  const good = request(sealed('null'), A, gate.nowSeconds());
  gate.send(encodeEnvelope(good));
  expect((await gate.answer(good.uid))?.message.case).toBe('response');
  // Nothing else was said, and nothing else was asked of the node.
  expect(gate.received.length - seen).toBe(expected.answer === undefined ? 1 : 2);
  expect(daemons.slice(daemonsBefore)).toEqual([...(expected.daemons ?? []), 'storage.Metrics']);
}

describe('what a node says to an envelope', () => {
  it.each(cases)('%s', async (_name, via, make, expected) => {
    const made = make();
    const [bytes, envelope] = made instanceof Uint8Array ? [made, undefined] : [encodeEnvelope(made), made];
    const uid = envelope?.uid ?? (expected.answer === undefined ? '' : decodeEnvelope(bytes).uid);
    await expectCase(gates[via], bytes, uid, envelope?.source?.twin === BARE ? S : A, expected);
  });

  it.each(vectorCases)('the vector %s', async (name, expected) => {
    const bytes = vector(name);
    const gate = await peer.openHostile({ now: () => VECTOR_SECONDS * 1000 });
    await expectCase(gate, bytes, decodeEnvelope(bytes).uid, A, expected);
  });

  it('a text', async () => {
    const [line] = peer.hostile;
    line?.sendText('hello');
    line?.sendText('');
    await expectCase(gates.hostile, new Uint8Array(0), '', A, dropped);
  });
});

describe('what a node does with copies', () => {
  it('answers a request once that comes three times', async () => {
    const envelope = request();
    const bytes = encodeEnvelope(envelope);
    const silent = { check: 'replay', code: 'envelope_replayed' } as const;
    const refused = await gates.relay.counted(silent);
    gates.relay.send(bytes);
    gates.relay.send(bytes);
    await gates.relay.answer(envelope.uid);
    await expect.poll(() => gates.relay.counted(silent)).toBe(refused + 1);
    await expectCase(gates.relay, bytes, '', A, { silent });
    expect(gates.relay.received.filter(({ uid }) => uid === envelope.uid).length).toBe(1);
  });

  it('answers two twins and two sessions that use one uid', async () => {
    const uid = randomUUID();
    for (const [source, signer] of [
      [address(USER, SESSION), A],
      [address(USER, 'other'), A],
      [address(USER), A],
      [address(OTHER, SESSION), B],
    ] as const) {
      gates.hostile.send(encodeEnvelope(request({ uid, source }, signer)));
    }
    const answers = (): Envelope[] => gates.hostile.received.filter((envelope) => envelope.uid === uid);
    await expect.poll(() => answers().length, { timeout: 20_000 }).toBe(4);
    const to = answers().map(({ destination }) => `${destination?.twin} ${destination?.connection}`);
    expect(to.sort()).toEqual(['7 other', `7 ${SESSION}`, '7 undefined', `8 ${SESSION}`]);
    expect(answers().every(({ message }) => message.case === 'response')).toBe(true);
  });
});

describe('whom a node answers and believes', () => {
  it('the session that asked, and no other of its twin', async () => {
    const home = await RawLine.open(peer.world.url, A, USER, undefined);
    const other = await RawLine.open(peer.world.url, A, USER, 'other');
    try {
      const envelope = request({ source: address(USER, 'other') });
      other.send(encodeEnvelope(envelope));
      expect((await other.answer(envelope.uid))?.message.case).toBe('response');
      await expectCase(gates.relay, encodeEnvelope(request({ schema: '' })), '', A, ignored('schema'));
      expect(home.received).toEqual([]);
      expect(gates.relay.received.filter(({ uid }) => uid === envelope.uid)).toEqual([]);
    } finally {
      home.close();
      other.close();
    }
  });

  it('the twin it asked, and no other that knows the uid', async () => {
    const caller = peer.world.client({ id: NODE, identity: N }, { session: 'asks' });
    await caller.connect();
    const stranger = await RawLine.open(peer.world.url, B, OTHER, SESSION);
    try {
      const seen = peer.user.received.length;
      const asking = caller.call({ twin: USER, session: SESSION, command: 'x', payload: 'null', deadlineMs: 30_000 });
      await expect.poll(() => peer.user.received.length, { timeout: 20_000 }).toBeGreaterThan(seen);
      const uid = peer.user.received.at(-1)?.uid ?? '';
      const answer = (payload: string, source: Envelope['source'], signer: Identity): Envelope =>
        request({ uid, ...kind('response'), ...to(NODE, 'asks'), ...plain(payload), source: source as never }, signer);
      stranger.send(encodeEnvelope(answer('"a lie"', address(OTHER, SESSION), B)));
      peer.user.send(encodeEnvelope(answer('"the truth"', address(USER, SESSION), A)));
      expect(Buffer.from(await asking).toString()).toBe('"the truth"');
    } finally {
      stranger.close();
      await caller.close();
    }
  });

  it('a twin with the key it has now, also when nobody told that it changed', async () => {
    peer.world.chain.put(OTHER, B);
    const gate = gates.hostile;
    const first = request(from(OTHER), B);
    gate.send(encodeEnvelope(first));
    expect((await gate.answer(first.uid))?.message.case).toBe('response');
    const renewed = await Identity.fromSecret('11'.repeat(32), 'ed25519');
    peer.world.chain.put(OTHER, renewed);
    const second = request({ ...from(OTHER), ...sealed('null', renewed) }, renewed);
    gate.send(encodeEnvelope(second));
    const answer = await gate.answer(second.uid);
    expect(answer?.payload.case).toBe('cipher');
    expect(await payloadOf(answer as Envelope, renewed)).toMatch(/^\[\{"name":"pool"/);
    await expectCase(gate, encodeEnvelope(request(from(OTHER), B)), '', A, unsigned);
    peer.world.chain.put(OTHER, B);
  });
});
