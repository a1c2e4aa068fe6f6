/** Nothing that was taken is lost, nothing grows without bound: dead processes, a Redis and relays that go away. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { createEnvelope, decodeEnvelope, encodeEnvelope } from '../rmb/envelope.ts';
import { RmbError } from '../rmb/errors.ts';
import { Site, until } from './testing/site.ts';

let site: Site | undefined;
afterEach(async () => {
  await site?.stop();
  site = undefined;
});

const PENDING = 'gridnode.peer.msgbus.system.local.pending';
const REPLIES_PENDING = 'gridnode.peer.msgbus.system.reply.pending';
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

async function callOf(
  here: Site,
  id: number,
  command = 'testme',
  deadlineMs = 20_000,
): Promise<() => Promise<unknown>> {
  const user = await here.world.chain.add(id, 'ed25519');
  const client = here.world.client(user);
  await client.connect();
  return () =>
    client.call({ twin: here.me.id, command, payload: '1', deadlineMs }).then(
      (bytes) => Buffer.from(bytes).toString(),
      (error: unknown) => {
        if (!(error instanceof RmbError)) throw error;
        return { kind: error.kind, code: error.code };
      },
    );
}

const replyTo = (text: string): string => {
  const request = JSON.parse(text);
  const { ref, src: dst, dat } = request;
  return JSON.stringify({ ver: 1, ref, dat, dst, shm: 'application/json', now: nowSeconds(), err: null });
};

describe('a request of a local client', () => {
  it('that a process took and did not send is sent by the next one, under the same uid', async () => {
    site = await Site.start();
    const port = site.world.port;
    const first = await site.front();
    await site.world.relay.close();
    const request = site.request();
    await site.redis.lpush('msgbus.system.local', JSON.stringify(request));
    await until(async () => (await site?.redis.hlen(PENDING)) === 1, 'it was taken');
    const [uid] = await site.redis.hkeys(PENDING);
    await until(async () => (await site?.redis.exists(`msgbus.backlog.${uid}`)) === 1, 'it is remembered');
    await first.close();
    expect(await site.redis.hkeys(PENDING)).toEqual([uid]);

    site.world.relay = site.world.newRelay();
    await site.world.relay.listen('127.0.0.1', port);
    await site.front();
    expect(await site.answers(request.ret, 1)).toMatchObject([{ ref: 'client-ref', src: '17', err: null }]);
    await until(async () => (await site?.redis.exists(PENDING)) === 0, 'it is confirmed');
    expect(await site.redis.hget(`msgbus.backlog.${uid}`, 'to:17')).toBe('0');
  });

  it('whose taker died before it read it is still there; one that is too old by then is told so', async () => {
    site = await Site.start();
    const [staged, taken, old] = [
      site.request({ now: 0 }),
      site.request({ now: 0 }),
      site.request({ now: 0, exp: 20 }),
    ];
    await site.redis.lpush('gridnode.peer.msgbus.system.local.staging', JSON.stringify(staged));
    await site.redis.hset(PENDING, { [randomUUID()]: `${nowSeconds()} ${JSON.stringify(taken)}` });
    await site.redis.hset(PENDING, { [randomUUID()]: `${nowSeconds() - 3600} ${JSON.stringify(old)}` });
    await site.front();
    expect(await site.answers(staged.ret, 1)).toMatchObject([{ src: '17', err: null }]);
    expect(await site.answers(taken.ret, 1)).toMatchObject([{ src: '17', err: null }]);
    expect(await site.answers(old.ret, 1)).toMatchObject([{ src: '', err: { code: 102 } }]);
  });

  it('is answered after the process that sent it has ended', async () => {
    site = await Site.start();
    const first = await site.front();
    let answer: (() => void) | undefined;
    const waiting = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let asked = 0;
    const { nodeClient } = site;
    nodeClient.serve(async ({ envelope }) => {
      asked += 1;
      await waiting;
      const twin = await site?.world.twins.twin(7);
      if (twin !== undefined) await nodeClient.answer(envelope, twin, { kind: 'response', payload: '"late"' });
    });
    const request = site.request();
    await site.redis.lpush('msgbus.system.local', JSON.stringify(request));
    await until(() => asked === 1, 'the other twin was asked');
    await first.close();
    await site.front();
    answer?.();
    const [got] = await site.answers(request.ret, 1);
    expect(Buffer.from(got?.dat ?? '', 'base64').toString()).toBe('"late"');
    expect(asked).toBe(1);
  });

  it('takes no answer but of the twin it asked, and that one once', async () => {
    site = await Site.start();
    await site.front();
    const stranger = await site.world.chain.add(66, 'sr25519');
    const strangerClient = site.world.client(stranger);
    await strangerClient.connect();
    const { nodeClient, world } = site;
    let uid = '';
    nodeClient.serve(async ({ envelope }) => {
      uid = envelope.uid;
      const me = await world.twins.twin(7);
      if (me === undefined) return;
      await strangerClient.answer(envelope, me, { kind: 'response', payload: '"forged"' });
      for (const payload of ['"first"', '"second"'])
        await nodeClient.answer(envelope, me, { kind: 'response', payload });
    });
    const request = site.request();
    const answers = await site.ask(request);
    // A later request through the same relay: what came before it has been worked on.
    await site.ask(site.request({ dst: [66, 18] }), 1);
    expect(answers.map(({ dat }) => Buffer.from(dat, 'base64').toString())).toEqual(['"first"']);
    expect(await site.redis.llen(request.ret)).toBe(0);
    expect(uid).toMatch(/[a-f]$/);
  });

  it('goes on after Redis restarted empty', async () => {
    site = await Site.start();
    await site.front({ commands: ['testme'] });
    expect(await site.ask(site.request())).toMatchObject([{ src: '17' }]);
    await site.local.restart(300);
    await until(() => site?.redis.status === 'ready', 'Redis is back');
    expect(await site.ask(site.request())).toMatchObject([{ src: '17' }]);
    const call = await callOf(site, 5);
    const result = call();
    await site.redis.lpush('msgbus.system.reply', replyTo(await site.pop('msgbus.testme')));
    expect(await result).toBe('1');
  });

  it('is refused where the operator lets no local program send', async () => {
    site = await Site.start();
    await site.front({ mayAsk: false });
    expect(await site.ask(site.request())).toMatchObject([
      { src: '', err: { code: 500, message: 'other: this node lets no local program send as its twin' } },
    ]);
  });

  it('is refused where too many wait for answers', async () => {
    site = await Site.start();
    await site.front({ limits: { askedRequests: 2 } });
    for (let i = 0; i < 2; i += 1) expect(await site.ask(site.request())).toMatchObject([{ src: '17' }]);
    expect(await site.ask(site.request())).toMatchObject([
      { err: { code: 500, message: expect.stringMatching(/too many/) } },
    ]);
  });

  it('is refused where the queue outgrows its bound while nothing can be sent', async () => {
    site = await Site.start();
    await site.front({ limits: { atOnce: 2, listMessages: 5 } });
    await site.world.relay.close();
    const requests = Array.from({ length: 12 }, () => site?.request());
    for (const request of requests) await site.redis.lpush('msgbus.system.local', JSON.stringify(request));
    await until(async () => Number(await site?.redis.llen('msgbus.system.local')) <= 5, 'the queue is short again');
    expect(await site.answers(requests[2]?.ret ?? '', 1)).toMatchObject([{ err: { code: 500 } }]);
  });
});

describe('a request for a local service', () => {
  it('is refused with the reason where Redis is away, and served when it is back', async () => {
    site = await Site.start();
    const { front } = await site.front({ commands: ['testme'] });
    const call = await callOf(site, 5);
    const down = site.local.restart(3000);
    await until(() => !front.connected, 'the loss is noticed');
    expect(await call()).toEqual({ kind: 'refused', code: 1300 });
    await down;
    await until(() => front.connected && site?.redis.status === 'ready', 'Redis is back');
    const result = call();
    await site.redis.lpush('msgbus.system.reply', replyTo(await site.pop('msgbus.testme')));
    expect(await result).toBe('1');
  });

  it('is answered by the next process, though encrypted and of a session', async () => {
    site = await Site.start();
    const first = await site.front({ commands: ['testme'] });
    const user = await site.world.chain.add(5, 'sr25519');
    const client = site.world.client(user, { session: 'tab:1' });
    await client.connect();
    const call = client.call({ twin: 7, command: 'testme', payload: '1', deadlineMs: 20_000 });
    const request = await site.pop('msgbus.testme');
    expect(JSON.parse(request)).toMatchObject({ src: '5:tab:1' });
    await first.close();
    await site.redis.lpush('msgbus.system.reply', replyTo(request));
    await site.front({ commands: ['testme'] });
    expect(Buffer.from(await call).toString()).toBe('1');
    await until(async () => (await site?.redis.exists(REPLIES_PENDING)) === 0, 'it is confirmed');
  });

  it.each([
    ['of one twin', 2, { servedRequestsPerTwin: 2 }],
    ['in all', 2, { servedRequests: 2 }],
    ['in the queue', 2, { listMessages: 2 }],
    ['in bytes', 1, { listBytes: 300 }],
  ])('is refused when nobody answers, by what waits %s', async (_name, fit, limits) => {
    site = await Site.start();
    const { close } = await site.front({ commands: ['testme'], limits });
    const call = await callOf(site, 5);
    const waiting = Array.from({ length: fit }, () => call());
    await until(async () => (await site?.redis.llen('msgbus.testme')) === fit, 'they wait');
    expect(await call()).toEqual({ kind: 'refused', code: 1301 });
    expect(await site.redis.ttl('msgbus.testme')).toBeGreaterThan(0);
    for (const text of await site.redis.lrange('msgbus.testme', 0, -1)) {
      await site.redis.lpush('msgbus.system.reply', replyTo(text));
    }
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => '1'));
    await close();
  });

  it('leaves the queue when its time is over and others come', async () => {
    site = await Site.start();
    await site.front({ commands: ['testme'], limits: { listMessages: 2 } });
    const old = (uid: string): string => JSON.stringify({ ref: uid, now: nowSeconds() - 100, exp: 60 });
    await site.redis.lpush('msgbus.testme', old('a'), old('b'));
    const call = await callOf(site, 5);
    const result = call();
    await until(async () => (await site?.redis.llen('msgbus.testme')) === 1, 'the old ones are gone');
    await site.redis.lpush('msgbus.system.reply', replyTo(await site.pop('msgbus.testme')));
    expect(await result).toBe('1');
  });

  it('passes the same door as any other: unsigned, it reaches no queue', async () => {
    site = await Site.start();
    const { front } = await site.front({ commands: ['testme'] });
    const envelope = createEnvelope({
      uid: randomUUID(),
      timestamp: BigInt(nowSeconds()),
      expiration: 60n,
      source: { twin: 17 },
      destination: { twin: 7 },
      message: { case: 'request', value: { command: 'testme' } },
      schema: 'application/json',
      payload: { case: 'plain', value: Buffer.from('1') },
    });
    const bytes = encodeEnvelope(envelope);
    await front.handler({ bytes, envelope: decodeEnvelope(bytes) });
    expect(await site.redis.exists('msgbus.testme')).toBe(0);
  });

  it('is served by one interface of a Redis at a time', async () => {
    site = await Site.start();
    const lock = 'gridnode.peer:instance';
    await site.redis.set(lock, JSON.stringify({ id: 'x', host: 'elsewhere', pid: 1 }));
    const { front } = await site.front({ commands: ['testme'], waits: false });
    const call = await callOf(site, 5);
    const request = site.request();
    await site.redis.lpush('msgbus.system.local', JSON.stringify(request));
    expect(await call()).toEqual({ kind: 'refused', code: 1300 });
    expect(await site.redis.llen('msgbus.system.local')).toBe(1);
    await site.redis.del(lock);
    expect(await site.answers(request.ret, 1)).toMatchObject([{ src: '17', err: null }]);
    expect(front.connected).toBe(true);
  });
});
