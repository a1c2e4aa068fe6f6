import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { GridError } from '../../schemas/errors/index.ts';
import { TestChain, type TestTwin } from '../relay/testing/world.ts';
import type { Answer } from '../rmb/answer.ts';
import { challenge } from '../rmb/challenge.ts';
import { PayloadCipher } from '../rmb/cipher.ts';
import type { RequestHandler } from '../rmb/client.ts';
import { address, createEnvelope, encodeEnvelope } from '../rmb/envelope.ts';
import { SignatureVerifier } from '../rmb/signature.ts';
import { Door, type DoorOptions } from './door.ts';
import type { Run } from './handler.ts';

const verifier = new SignatureVerifier({ threads: 1 });
afterAll(() => verifier.close());

let user: TestTwin;
let answers: Answer[];
let registry: Registry;
let makeHandler: (run: Run, options?: Partial<DoorOptions>) => RequestHandler;
let uid = 0;

beforeEach(async () => {
  const chain = new TestChain();
  user = await chain.add(7, 'ed25519');
  const node = await chain.add(17, 'ed25519');
  answers = [];
  registry = new Registry();
  makeHandler = (run, options) =>
    new Door({
      twinId: 17,
      twins: chain,
      verifier,
      cipher: new PayloadCipher(node.identity),
      answer: async (_request, _twin, answer) => void answers.push(answer),
      log: pino({ level: 'silent' }),
      registry,
      // One place: a request that kept it would be seen.
      limits: { concurrencyPerTwin: 1, tellBurst: 1 },
      ...options,
    }).handler(run);
});

async function send(handler: RequestHandler): Promise<void> {
  uid += 1;
  const envelope = createEnvelope({
    uid: `uid-${uid}`,
    timestamp: BigInt(Math.floor(Date.now() / 1000)),
    expiration: 60n,
    source: address(7),
    destination: address(17),
    message: { case: 'request', value: { command: 'zos.x' } },
    schema: 'application/json',
    payload: { case: 'plain', value: Buffer.from('null') },
  });
  envelope.signature = user.identity.sign(challenge(envelope));
  await handler({ bytes: encodeEnvelope(envelope), envelope });
}

const mute = {
  toString(): string {
    throw new Error('no text either');
  },
};

describe('what the handler of requests throws', () => {
  it.each<[what: string, thrown: unknown, text: string]>([
    ['an error', new Error('boom'), 'boom'],
    ['a text', 'boom', 'boom'],
    ['nothing', undefined, 'undefined'],
    ['a number', 42, '42'],
    ['a symbol', Symbol('s'), 'Symbol(s)'],
    ['an object without prototype', Object.create(null), 'a value without text'],
    ['an object whose text throws', mute, 'a value without text'],
    ['a very long error', new Error('x'.repeat(1_000_000)), 'x'.repeat(2048)],
    ['an error with half a character', new Error('a\ud800'), 'a\ufffd'],
  ])('%s is answered, and the next request is served', async (_what, thrown, text) => {
    let crash = true;
    const handler = makeHandler(() => {
      // Synchronously, before there is a promise.
      if (crash) throw thrown;
      return Promise.resolve({ kind: 'response', payload: '"well"' });
    });
    await send(handler);
    crash = false;
    await send(handler);
    expect(answers).toEqual([
      { kind: 'error', code: 0, message: `handler panicked with: ${text}` },
      { kind: 'response', payload: '"well"' },
    ]);
  });

  it('a rejection is answered as a throw is', async () => {
    const handler = makeHandler(() => Promise.reject(new TypeError('later')));
    await send(handler);
    await send(handler);
    expect(answers.map((answer) => answer.kind === 'error' && answer.message)).toEqual([
      'handler panicked with: later',
      'handler panicked with: later',
    ]);
  });

  it('a typed refusal travels as one, also when its details are no JSON', async () => {
    const refusals = [
      new GridError('command_unknown', { command: 'x' }),
      new GridError('twin_unknown', { twin: 1n as never }),
    ];
    const handler = makeHandler(() => Promise.reject(refusals.shift()));
    await send(handler);
    await send(handler);
    expect(answers[0]).toMatchObject({ kind: 'error', code: 0, message: 'function is not found' });
    expect(answers[1]).toMatchObject({
      kind: 'error',
      message: expect.stringMatching(/^handler panicked with: .*BigInt/),
    });
  });

  it('no answer at all is a crash', async () => {
    const results: unknown[] = [undefined, null, {}, 7];
    const handler = makeHandler(async () => results.shift() as Answer);
    for (let left = results.length; left > 0; left -= 1) await send(handler);
    for (const answer of answers) {
      expect(answer).toMatchObject({ kind: 'error', message: expect.stringContaining('handler panicked with: ') });
    }
    expect(answers.length).toBe(4);
  });
});

describe('an answer', () => {
  it('that no relay takes is counted and keeps no place', async () => {
    let lost = true;
    const handler = makeHandler(async () => ({ kind: 'response', payload: '1' }), {
      answer: async (_request, _twin, answer) => {
        if (lost) throw new Error('no relay took the message');
        answers.push(answer);
      },
    });
    await send(handler);
    lost = false;
    await send(handler);
    expect(answers).toEqual([{ kind: 'response', payload: '1' }]);
    expect(await registry.getSingleMetric('gateway_answers_unsent_total')?.get()).toMatchObject({
      values: [{ value: 1 }],
    });
  });

  it('with an error text that no receiver reads is cut', async () => {
    const handler = makeHandler(async () => ({ kind: 'error', code: 5, message: 'y'.repeat(100_000), payload: '1' }));
    await send(handler);
    expect(answers).toEqual([{ kind: 'error', code: 5, message: 'y'.repeat(4096), payload: '1' }]);
  });

  it('settles what the socket waits for, and not earlier', async () => {
    let give: (answer: Answer) => void = () => undefined;
    const handler = makeHandler(
      () =>
        new Promise((resolve) => {
          give = resolve;
        }),
    );
    let settled = false;
    const serving = send(handler).then(() => {
      settled = true;
    });
    await expect.poll(() => give.length, { timeout: 20_000 }).toBe(1);
    expect(settled).toBe(false);
    give({ kind: 'response', payload: '1' });
    await serving;
    expect(answers.length).toBe(1);
  });
});
