/** Known weaknesses of the interface for local programs, one test each or more: what ours does instead. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Site } from '../../gateway/local/testing/site.ts';
import type { TestTwin } from '../../gateway/relay/testing/world.ts';
import { bytesOf, RawLine, request } from '../system/raw-line.ts';

const SESSION = 'raw';
const WAIT = { timeout: 20_000 };

let site: Site;
let stranger: TestTwin;
let line: RawLine | undefined;

beforeEach(async () => {
  site = await Site.start();
  stranger = await site.world.chain.add(9, 'ed25519');
});
afterEach(async () => {
  line?.close();
  line = undefined;
  await site.stop();
});

const lists = async (): Promise<string[]> => (await site.redis.keys('*')).filter((key) => !key.startsWith('gridnode.'));

describe('our local interface', () => {
  it('18: makes no list for a command that a stranger invents, and none of its own queues for anyone', async () => {
    await site.front({ commands: ['calculator.add'] });
    line = await RawLine.open(site.world.url, stranger.identity, stranger.id, SESSION);
    const commands = ['system.local', 'system.reply', 'backlog.x', 'backlog', 'rmb.anything', 'no.such.thing', ''];
    const asked = [...commands, ...Array.from({ length: 50 }, (_, number) => `invented.${number}`)].map((command) =>
      request(
        { source: { twin: stranger.id, session: SESSION }, destination: { twin: site.me.id }, command },
        stranger.identity,
      ),
    );
    for (const envelope of asked) line.send(bytesOf(envelope));
    for (const { uid } of asked) {
      expect((await line.answer(uid))?.message).toMatchObject({
        case: 'error',
        value: { message: 'function is not found' },
      });
    }
    expect(await lists()).toEqual([]);
    for (const name of ['system.local', 'backlog.x', 'rmb.x', 'a b', '*', '']) {
      await expect(site.front({ commands: [name] })).rejects.toThrow(RangeError);
    }
  });

  it('19: answers on no list that is another queue or no name, and on none for ever', async () => {
    await site.front();
    const reserved = [
      'msgbus.system.local',
      'msgbus.system.reply',
      'msgbus.x',
      'gridnode.peer.x',
      '',
      'a b',
      '*',
      'x\n',
    ];
    for (const ret of reserved) await site.redis.lpush('msgbus.system.local', JSON.stringify(site.request({ ret })));
    const good = site.request();
    const [answer] = await site.ask({ ...good, ref: 'good' });
    expect(answer?.ref).toBe('good');
    await expect.poll(() => site.redis.llen('msgbus.system.local'), WAIT).toBe(0);
    expect(await site.redis.llen('msgbus.system.reply')).toBe(0);
    expect((await lists()).filter((key) => !key.startsWith('msgbus.backlog.'))).toEqual([]);
    // An answer that nobody takes goes away by itself.
    const unread = site.request();
    await site.redis.lpush('msgbus.system.local', JSON.stringify(unread));
    await expect.poll(() => site.redis.llen(unread.ret), WAIT).toBe(1);
    expect(await site.redis.ttl(unread.ret)).toBeGreaterThan(0);
  });

  it('20: loses no request to a process that ends with it in its hands', { timeout: 60_000 }, async () => {
    const first = await site.front();
    // What is taken now cannot be sent.
    await site.world.relay.close();
    const asked = site.request();
    await site.redis.lpush('msgbus.system.local', JSON.stringify(asked));
    await expect.poll(() => site.redis.llen('msgbus.system.local'), WAIT).toBe(0);
    await first.close();
    site.world.relay = site.world.newRelay();
    await site.world.relay.listen('127.0.0.1', site.world.port);
    await site.front();
    const [answer] = await site.answers(asked.ret, 1);
    expect(answer).toMatchObject({ ref: asked.ref, src: `${site.node.id}`, err: null });
    await sleep(300);
    expect(await site.redis.llen(asked.ret)).toBe(0);
  });
});
