/** What a Go caller does with strange answers, as recorded, and what ours does with the same bytes. */
import { describe, expect, it } from 'vitest';
import { encode } from './codec.ts';
import { defineInterface } from './definition.ts';
import { decodeRequest, encodeResponse } from './frames.ts';
import { IP } from './gridtypes.ts';
import { connect, ends, failure, peek } from './testing/live.ts';
import { vectors } from './testing/vectors.ts';
import { bool, count64, named, slice, str, struct } from './wire.ts';

const Volume = struct('pkg.Volume', {
  Name: str,
  Path: str,
  Usage: struct('pkg.Usage', { Size: count64, Used: count64 }),
});

const storage = defineInterface({
  module: 'strange',
  object: 'storage',
  version: '0.0.1',
  methods: {
    One: { args: {}, returns: [Volume], fails: true },
    None: { args: {}, returns: [], fails: true },
    Flag: { args: {}, returns: [bool], fails: false },
    Two: { args: {}, returns: [slice(IP), str], fails: true },
    State: { args: {}, returns: [named('gridtypes.ResultState', str), bool], fails: true },
  },
  streams: {},
});

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const EMPTY = { Name: '', Path: '', Usage: { Size: 0, Used: 0 } };
const named1 = (text: string): Buffer => Buffer.from(encode(str, text));
const map = (...pairs: Buffer[]): Buffer => Buffer.concat([Buffer.from([0x80 | (pairs.length / 2)]), ...pairs]);

interface Case {
  readonly method: keyof typeof storage.methods;
  /** The answer's frame for the id of the request. */
  readonly answer: (id: string) => Buffer;
  readonly value?: unknown;
  readonly error?: { readonly kind: string; readonly text: string };
}

const data =
  (bytes: Buffer | null, message?: string) =>
  (id: string): Buffer =>
    encodeResponse({ id, data: bytes, ...(message === undefined ? {} : { callError: { message } }) });
const refusal = (id: string): Buffer => encodeResponse({ id, data: null, protocolError: 'unknown object' });

/** Where Go ends its process, the call ends with an error that has a type; where Go takes the value, so does ours. */
const CASES: Readonly<Record<string, Case>> = {
  C1: { method: 'One', answer: refusal, error: { kind: 'protocol', text: 'unknown object' } },
  C2: { method: 'One', answer: data(null, 'no space'), error: { kind: 'call_failed', text: 'no space' } },
  C3: { method: 'One', answer: data(Buffer.alloc(0), 'no space'), error: { kind: 'call_failed', text: 'no space' } },
  C3b: { method: 'One', answer: data(hex('c0'), 'no space'), error: { kind: 'call_failed', text: 'no space' } },
  C4: { method: 'None', answer: data(null, 'no vol'), error: { kind: 'call_failed', text: 'no vol' } },
  C5: { method: 'None', answer: data(null, ''), value: undefined },
  C6: { method: 'One', answer: data(null), error: { kind: 'protocol', text: 'EOF' } },
  C7: {
    method: 'Two',
    answer: data(hex('9191c4040a000001'), 'e'),
    error: { kind: 'call_failed', text: 'e' },
  },
  C7b: { method: 'Two', answer: data(hex('93c0c0c0')), value: [[], ''] },
  C7c: { method: 'Two', answer: data(null, 'bad'), error: { kind: 'call_failed', text: 'bad' } },
  C7d: { method: 'Two', answer: data(hex('c0'), 'bad'), error: { kind: 'call_failed', text: 'bad' } },
  C7e: { method: 'State', answer: data(hex('92c0c0'), 'bad'), error: { kind: 'call_failed', text: 'bad' } },
  C8: { method: 'Flag', answer: data(hex('c0')), error: { kind: 'protocol', text: 'code 0xc0 where bool' } },
  C9: {
    method: 'One',
    answer: data(
      map(
        named1('Name'),
        hex('c0'),
        named1('Path'),
        hex('c40161'),
        named1('Usage'),
        map(named1('Size'), hex('07'), named1('Used'), hex('cc07')),
      ),
    ),
    value: { Name: '', Path: 'a', Usage: { Size: 7, Used: 7 } },
  },
  C9b: {
    method: 'One',
    answer: data(
      map(
        named1('Name'),
        named1('a'),
        named1('path'),
        named1('b'),
        named1('More'),
        hex('01'),
        named1('Usage'),
        hex('c0'),
      ),
    ),
    value: { ...EMPTY, Name: 'a' },
  },
  C9c: {
    method: 'One',
    answer: data(map(named1('Usage'), map(named1('Size'), hex('cb401c000000000000')))),
    error: { kind: 'protocol', text: 'Usage.Size: code 0xcb where an integer' },
  },
  C10: {
    method: 'One',
    answer: data(hex('93a161a162920102')),
    value: { Name: 'a', Path: 'b', Usage: { Size: 1, Used: 2 } },
  },
  C11: { method: 'One', answer: () => data(hex('c0'))('another'), value: EMPTY },
  C12: { method: 'One', answer: () => Buffer.from('garbage'), error: { kind: 'protocol', text: 'cannot be read' } },
  C13: { method: 'One', answer: () => Buffer.alloc(0), error: { kind: 'busy', text: 'did not take the call' } },
  C15: { method: 'One', answer: () => hex('80'), error: { kind: 'protocol', text: 'EOF' } },
  C15b: {
    method: 'One',
    answer: () =>
      map(named1('Error'), hex('c0'), named1('Output'), map(named1('Error'), hex('c0'), named1('Data'), hex('a1c0'))),
    value: EMPTY,
  },
  C17: { method: 'One', answer: data(hex('c0ff')), value: EMPTY },
  C18: { method: 'One', answer: data(hex('a161')), error: { kind: 'protocol', text: 'code 0xa1 where a map' } },
};

/** Status is a call of its own; these are below. */
const OF_STATUS = new Set(['C14', 'C14b']);

/** Answers as the recorded Go peer was answered: on a list of the call's own, with any id. */
async function answerOne(make: (id: string) => Buffer): Promise<void> {
  const line = peek.duplicate();
  ends.push(async () => line.disconnect());
  const found = await line.blpopBuffer('strange.storage@0.0.1', 20);
  if (found === null) throw new Error('no call came');
  const { id, replyTo } = decodeRequest(found[1]);
  await peek.rpush(replyTo, make(id));
}

describe('strange answers', () => {
  it('are all the recorded ones', () => {
    const recorded = vectors.go_stub_outcomes.map((outcome) => outcome.case);
    expect([...Object.keys(CASES), ...OF_STATUS].toSorted()).toEqual(recorded.toSorted());
  });

  const recorded = vectors.go_stub_outcomes.filter((outcome) => !OF_STATUS.has(outcome.case));
  it.each(recorded.map((outcome) => [`${outcome.case} ${outcome.reply_sent_to_go_stub}`, outcome] as const))(
    '%s',
    async (_name, outcome) => {
      const expected = CASES[outcome.case];
      if (expected === undefined) throw new Error(`no case ${outcome.case}`);
      const calls = connect({ replyPerCall: ['strange'] }).of(storage);
      const silent = outcome.case === 'C13';
      const answering = silent ? Promise.resolve() : answerOne(expected.answer);
      const call = calls[expected.method]({}, { deadlineMs: silent ? 200 : 20_000 });
      if (expected.error === undefined) {
        expect(await call).toEqual(expected.value);
        // Go took it, too.
        expect(outcome.observed_in_go_caller).not.toMatch(/^PANIC/);
      } else {
        const error = await failure(call);
        expect(error.kind).toBe(expected.error.kind);
        expect(error.message).toContain(expected.error.text);
      }
      await answering;
    },
  );

  it('C7 without an error: a result that is left out has its zero', async () => {
    const calls = connect({ replyPerCall: ['strange'] }).of(storage);
    const answering = answerOne(data(hex('9191c4040a000001')));
    expect(await calls.Two({})).toEqual([[new Uint8Array([10, 0, 0, 1])], '']);
    await answering;
    const second = answerOne(data(hex('92c0c0')));
    expect(await calls.State({})).toEqual(['', false]);
    await second;
  });

  it('C14, C14b: a status that nobody answers, and one that is refused', async () => {
    const client = connect();
    expect(await failure(client.status('strange', { deadlineMs: 100 }))).toMatchObject({ kind: 'no_such_module' });
    const asking = failure(client.status('strange', { deadlineMs: 20_000 }));
    const found = await peek.duplicate().blpopBuffer('strange.zbus@1.0', 20);
    const { id, replyTo } = decodeRequest(found?.[1] ?? Buffer.alloc(0));
    await peek.rpush(replyTo, refusal(id));
    expect(await asking).toMatchObject({ kind: 'protocol' });
  });
});
