/** What the local interface does with what may stand in its queues: one case a line. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestTwin } from '../relay/testing/world.ts';
import type { RmbClient } from '../rmb/client.ts';
import { RmbError } from '../rmb/errors.ts';
import { type LocalAnswer, Site, until } from './testing/site.ts';

const vectors = JSON.parse(readFileSync(new URL('../../test/vectors/rmb.json', import.meta.url), 'utf8'));
let site: Site;
let user: TestTwin;
let caller: RmbClient;

beforeAll(async () => {
  site = await Site.start();
  await site.front({ commands: ['calculator.add', 'testme'] });
  user = await site.world.chain.add(5, 'sr25519');
  await site.world.chain.add(19, 'ed25519', { relay: [] });
  caller = site.world.client(user);
  await caller.connect();
  // A service elsewhere that is reached by its session, and refuses.
  const farmerbot = site.world.client(site.node, { session: 'farmerbot-1' });
  site.world.serve(farmerbot, site.node);
  await farmerbot.connect();
});
afterAll(() => site.stop());

const decode = (answer: LocalAnswer | undefined): unknown =>
  JSON.parse(Buffer.from(answer?.dat ?? '', 'base64').toString());
const failure = (code: number, message: unknown) => ({
  ...{ ver: 1, ref: 'client-ref', dat: '', src: '', shm: null, now: 0 },
  err: { code, message },
});
const vector = (index: number): Record<string, unknown> => vectors.redis_json[index].json;
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

interface Case {
  readonly name: string;
  readonly change: Record<string, unknown>;
  readonly code?: number;
  readonly text?: RegExp;
}

describe('a request of a local client', () => {
  it('is answered with the keys of existing peers', async () => {
    const [answer] = await site.ask({
      ...site.request(),
      ...vector(0),
      ret: randomUUID(),
      dst: [17],
      now: nowSeconds(),
    });
    expect(Object.keys(answer ?? {})).toEqual(Object.keys(vector(3)));
    expect(answer).toMatchObject({ ver: 1, ref: 'client-ref', src: '17', shm: 'application/json', err: null });
    expect(decode(answer)).toEqual({ echo: 'calculator.add', twin: 7, encrypted: true, got: '[10,20]' });
    expect(Math.abs((answer?.now ?? 0) - nowSeconds())).toBeLessThan(60);
  });

  const answered: Case[] = [
    { name: 'now 0 means now', change: { now: 0 } },
    { name: 'now in the future means now', change: { now: nowSeconds() + 5000 } },
    { name: 'a life beyond 1800 s is cut', change: { exp: 1_000_000 } },
    { name: 'no tag, no schema', change: { tag: undefined, shm: undefined } },
    { name: 'schema null', change: { shm: null } },
    { name: 'empty texts', change: { tag: '', shm: '', con: '' } },
    { name: 'a tag', change: { tag: 'fail-fast' } },
    { name: 'a destination twice is asked once', change: { dst: [17, 17] } },
    { name: 'unknown keys', change: { foo: 1, err: null, src: '9' } },
    { name: 'another version', change: { ver: 3 } },
  ];
  it.each(answered)('is answered: $name', async ({ change }) => {
    const request = site.request(change);
    const [answer] = await site.ask(request);
    expect(answer).toMatchObject({ ref: 'client-ref', src: '17', err: null });
    expect(await site.redis.llen(request.ret)).toBe(0);
  });

  it.each([
    ['a text', 'x', 'x'],
    ['an empty text', '', ''],
    ['null', null, null],
    ['nothing', undefined, null],
  ])('keeps the reference: %s', async (_name, ref, expected) => {
    expect((await site.ask(site.request({ ref })))[0]?.ref).toBe(expected);
  });

  const refused: Case[] = [
    { name: 'exp 0', change: { exp: 0 }, code: 102, text: /^envelope validation error: message has expired/ },
    { name: 'exp below 0', change: { exp: -5 }, code: 102 },
    { name: 'older than its life', change: { now: 1_700_000_000 }, code: 102 },
    { name: 'dat is not base64', change: { dat: '%%%' }, code: 101, text: /^invalid message payload data: / },
    { name: 'dat without padding', change: { dat: 'WzEwLDIwXQ' }, code: 101 },
    { name: 'dat is base64url', change: { dat: '_-8=' }, code: 101 },
    { name: 'unknown twin', change: { dst: [18] }, code: 103, text: /^unknown twin id '18'$/ },
    { name: 'no destination', change: { dst: [] }, code: 500, text: /^other: dst: / },
    { name: 'destination 0', change: { dst: [0] }, code: 500, text: /^other: dst\.0: / },
    { name: 'destination is a text', change: { dst: ['17'] }, code: 500, text: /^other: dst\.0: / },
    { name: 'destination beyond 32 bits', change: { dst: [2 ** 32] }, code: 500 },
    { name: 'no cmd', change: { cmd: undefined }, code: 500, text: /^other: cmd: / },
    { name: 'cmd with a control character', change: { cmd: 'a\nb' }, code: 500, text: /^other: cmd: / },
    { name: 'cmd too long', change: { cmd: 'a'.repeat(257) }, code: 500, text: /^other: cmd: / },
    { name: 'exp is a text', change: { exp: '60' }, code: 500, text: /^other: exp: / },
    { name: 'exp is a fraction', change: { exp: 1.5 }, code: 500, text: /^other: exp: / },
    { name: 'no dat', change: { dat: undefined }, code: 500, text: /^other: dat: / },
    { name: 'no now', change: { now: undefined }, code: 500, text: /^other: now: / },
    { name: 'no ver', change: { ver: undefined }, code: 500, text: /^other: ver: / },
    {
      name: 'longer than 8 MiB',
      change: { dat: 'A'.repeat(8 * 1024 * 1024) },
      code: 500,
      text: /has 8\d{6} bytes, at most 8388608/,
    },
  ];
  it.each(refused)('is refused with an answer: $name', async ({ change, code, text }) => {
    expect(await site.ask(site.request(change))).toEqual([failure(code ?? 0, expect.stringMatching(text ?? /./))]);
  });

  it('has the form of existing peers where it fails', async () => {
    const [answer] = await site.ask(site.request({ dst: [18] }));
    expect(answer).toEqual(vector(4));
    expect(Object.keys(answer ?? {})).toEqual(Object.keys(vector(4)));
  });

  it('goes to several twins under one uid, each answering by itself', async () => {
    const answers = await site.ask(site.request({ cmd: 'nobody.serves', dst: [17, 18, 7] }), 3);
    expect(answers.map(({ src }) => src).sort()).toEqual(['', '17', '7']);
    expect(answers.find(({ src }) => src === '')?.err).toEqual({ code: 103, message: "unknown twin id '18'" });
    expect(answers.find(({ src }) => src === '7')?.err?.message).toBe('function is not found');
  });

  it("brings a relay's own error, which nobody signed, from address 0", async () => {
    const [answer] = await site.ask(site.request({ dst: [19] }));
    expect(answer).toMatchObject({ src: '0', err: { code: 0, message: 'relay info is not set for this twin' } });
  });

  it('reaches a session, as the Go library may ask', async () => {
    const [answer] = await site.ask(site.request({ con: 'farmerbot-1' }));
    expect(answer).toMatchObject({ src: '17:farmerbot-1', err: null });
  });

  it.each([
    ['broken', (ret: string) => `{"ver":1,"ref":"client-ref","cmd":"a","ret":"${ret}",`, true],
    ['an array', (ret: string) => `["${ret}"]`, false],
    ['no JSON at all', () => 'hello', false],
    ['empty', () => '', false],
    ['two lists to answer on', (ret: string) => `{"ret":"${ret}", "ret":"${randomUUID()}"`, false],
  ])('that is %s never holds up the next one', async (_name, make, told) => {
    const ret = randomUUID();
    await site.redis.lpush('msgbus.system.local', make(ret));
    expect(await site.ask(site.request())).toMatchObject([{ src: '17', err: null }]);
    if (told) expect(await site.answers(ret, 1)).toEqual([failure(500, 'other: the message is not JSON')]);
    else expect(await site.redis.exists(ret)).toBe(0);
  });

  it.each([
    'msgbus.system.local',
    'msgbus.system.reply',
    'msgbus.calculator.add',
    'msgbus.backlog.x',
    'msgbus',
    'gridnode.peer.served',
    'with space',
    'a'.repeat(129),
    '',
  ])('gets no answer on the list %j', async (ret) => {
    const before = await site.redis.type(ret);
    await site.redis.lpush('msgbus.system.local', JSON.stringify(site.request({ ret, dst: [18] })));
    expect(await site.ask(site.request())).toMatchObject([{ src: '17', err: null }]);
    expect(await site.redis.type(ret)).toBe(before);
  });

  it('leaves a key alone that is not a list', async () => {
    const ret = randomUUID();
    await site.redis.set(ret, 'mine');
    await site.redis.lpush('msgbus.system.local', JSON.stringify(site.request({ ret })));
    expect(await site.ask(site.request())).toMatchObject([{ src: '17', err: null }]);
    expect(await site.redis.get(ret)).toBe('mine');
  });

  it('is answered on a list that does not stay for ever, and forgotten when its time is over', async () => {
    const request = site.request({ exp: 60 });
    await site.redis.lpush('msgbus.system.local', JSON.stringify(request));
    await until(async () => (await site.redis.llen(request.ret)) === 1, 'the answer is there');
    expect(await site.redis.ttl(request.ret)).toBeGreaterThan(3000);
    for (const key of await site.redis.keys('msgbus.backlog.*')) {
      expect(await site.redis.ttl(key)).toBeGreaterThan(0);
      expect(await site.redis.ttl(key)).toBeLessThanOrEqual(1800);
    }
    await until(async () => (await site.redis.exists('gridnode.peer.msgbus.system.local.pending')) === 0, 'confirmed');
  });
});

/** A call to the twin with the local interface, and what its service found in its queue. */
async function serve(
  reply: (request: Record<string, unknown>) => Record<string, unknown>[],
  command = 'calculator.add',
): Promise<{ request: Record<string, unknown>; result: unknown }> {
  const call = outcome(command);
  const request = JSON.parse(await site.pop(`msgbus.${command}`, 'brpop'));
  for (const one of reply(request)) await site.redis.lpush(String(request.ret), JSON.stringify(one));
  return { request, result: await call };
}

/** The result's text, or code and text of the error. */
async function outcome(command: string): Promise<unknown> {
  try {
    const bytes = await caller.call({ twin: site.me.id, command, payload: '[10,20]', deadlineMs: 20_000 });
    return Buffer.from(bytes).toString();
  } catch (error) {
    if (!(error instanceof RmbError)) throw error;
    return { kind: error.kind, code: error.code, text: error.message };
  }
}

const goodReply = (request: Record<string, unknown>): Record<string, unknown> => ({
  ver: 1,
  ref: request.ref,
  dat: 'MzA=',
  dst: request.src,
  shm: request.shm,
  now: nowSeconds(),
  err: null,
});

describe('a request for a local service', () => {
  it('stands in its queue with the keys of existing peers, and is answered', async () => {
    const { request, result } = await serve((found) => [goodReply(found)]);
    expect(Object.keys(request)).toEqual(Object.keys(vector(1)));
    expect(request).toMatchObject({
      ...{ ver: 1, src: '5', cmd: 'calculator.add', dat: 'WzEwLDIwXQ==', tag: null, ret: 'msgbus.system.reply' },
      ...{ shm: 'application/json' },
    });
    expect(request.ref).toMatch(/^[0-9a-f-]{36}$/);
    expect(Number(request.exp) + Number(request.now)).toBeGreaterThan(nowSeconds());
    expect(result).toBe('30');
  });

  const replies: { name: string; reply: Parameters<typeof serve>[0]; result: unknown }[] = [
    { name: 'without err', reply: (r) => [{ ...goodReply(r), err: undefined }], result: '30' },
    { name: "as the tester's echo writes it", reply: (r) => [{ ...r, dst: r.src }], result: '[10,20]' },
    {
      name: 'with an error of a Go service',
      reply: (r) => [{ ...goodReply(r), dat: 'bnVsbA==', err: { code: 255, message: 'function not found' } }],
      result: { kind: 'refused', code: 255, text: 'function not found' },
    },
    {
      name: 'with an error of a TypeScript service',
      reply: (r) => [{ ...goodReply(r), dat: '', err: { message: 'boom', code: 500 } }],
      result: { kind: 'refused', code: 500, text: 'boom' },
    },
    {
      name: 'first to an address that did not ask',
      reply: (r) => [{ ...goodReply(r), dst: '17', dat: 'MQ==' }, goodReply(r)],
      result: '30',
    },
    {
      name: 'first to a session that did not ask',
      reply: (r) => [{ ...goodReply(r), dst: '5:x', dat: 'MQ==' }, goodReply(r)],
      result: '30',
    },
    {
      name: 'first with another reference',
      reply: (r) => [{ ...goodReply(r), ref: randomUUID(), dat: 'MQ==' }, goodReply(r)],
      result: '30',
    },
    {
      name: 'first without a reference',
      reply: (r) => [{ ...goodReply(r), ref: null, dat: 'MQ==' }, goodReply(r)],
      result: '30',
    },
    { name: 'twice', reply: (r) => [goodReply(r), { ...goodReply(r), dat: 'MQ==' }], result: '30' },
    {
      name: 'with dat that is not base64',
      reply: (r) => [{ ...goodReply(r), dat: '%' }],
      result: { kind: 'refused', code: 1302, text: expect.stringContaining('dat is not standard base64') },
    },
    {
      name: 'without dat',
      reply: (r) => [{ ...goodReply(r), dat: undefined }],
      result: { kind: 'refused', code: 1302, text: expect.stringContaining('dat: ') },
    },
    {
      name: 'in another schema',
      reply: (r) => [{ ...goodReply(r), shm: 'text/plain' }],
      result: { kind: 'refused', code: 1302, text: expect.stringContaining('"text/plain"') },
    },
    { name: 'without a schema', reply: (r) => [{ ...goodReply(r), shm: null }], result: '30' },
    {
      name: 'longer than 8 MiB',
      reply: (r) => [{ ...goodReply(r), dat: 'A'.repeat(8 * 1024 * 1024) }],
      result: { kind: 'refused', code: 1302, text: expect.stringContaining('at most 8388608') },
    },
    {
      name: 'with an error without a number',
      reply: (r) => [{ ...goodReply(r), err: { message: 'x' } }],
      result: { kind: 'refused', code: 1302, text: expect.stringContaining('err.code') },
    },
  ];
  it.each(replies)('is answered $name', async ({ reply, result }) => {
    expect((await serve(reply)).result).toEqual(result);
  });

  it('is forgotten once it is answered', async () => {
    const { request } = await serve((found) => [goodReply(found)]);
    await until(async () => (await site.redis.keys('gridnode.peer.served*')).length === 0, 'nothing is remembered');
    await site.redis.lpush('msgbus.system.reply', JSON.stringify(goodReply(request)));
    await until(async () => (await site.redis.exists('msgbus.system.reply')) === 0, 'the second answer was taken');
  });

  it.each([
    'unknown.command',
    'system.local',
    'system.reply',
    'backlog.x',
    'rmb.other',
    'calculator',
    'calculator.add.x',
    'CALCULATOR.ADD',
  ])('makes no list where %s has no service', async (command) => {
    expect(await outcome(command)).toEqual({ kind: 'refused', code: 0, text: 'function is not found' });
    expect(await site.redis.exists(`msgbus.${command}`)).toBe(0);
  });

  it('is answered by the peer itself: rmb.version', async () => {
    expect(JSON.parse(String(await outcome('rmb.version')))).toMatch(/^gridnode v\d+\.\d+\.\d+$/);
  });
});
