/** Two relay processes' worth of relays that share one Redis and one name. */
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { encodeEnvelope } from '../rmb/envelope.ts';
import type { Relay } from './relay.ts';
import { Sisters } from './sisters.ts';
import { connectPeer, type Peer, signedRequest } from './testing/peer.ts';
import { type TestTwin, World } from './testing/world.ts';

let world: World;
let sister: Relay;
let sisterUrl: string;
let sender: TestTwin;
let receiver: TestTwin;
const peers: Peer[] = [];

beforeEach(async () => {
  world = await World.start();
  sister = world.newRelay();
  sisterUrl = `ws://127.0.0.1:${await sister.listen('127.0.0.1', 0)}`;
  sender = await world.chain.add(7, 'ed25519');
  receiver = await world.chain.add(8, 'ed25519');
});
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.socket.terminate();
  await sister.close();
  await world.stop();
});

async function connect(url: string, twin: TestTwin, session?: string): Promise<Peer> {
  const peer = await connectPeer(url, twin, session);
  peers.push(peer);
  return peer;
}

it('a message reaches a session at the other relay, in order', async () => {
  const [from, to] = [await connect(world.url, sender), await connect(sisterUrl, receiver)];
  const uids = Array.from({ length: 50 }, (_, index) => `${index}`);
  for (const uid of uids) from.socket.send(encodeEnvelope(signedRequest(sender, undefined, 8, { uid })));
  await to.until(() => to.frames.length >= 50);
  expect(to.uids).toEqual(uids);
});

it('a session that connects at the other relay leaves the first', async () => {
  const first = await connect(world.url, receiver, 'a');
  const others = await connect(world.url, receiver, 'b');
  // Later by the clock, whose steps are milliseconds.
  await sleep(20);
  const second = await connect(sisterUrl, receiver, 'a');
  await first.until(() => first.closed !== undefined);
  await sleep(100);
  expect([first.closed, second.closed, others.closed]).toEqual([4001, undefined, undefined]);
});

it('looks for mail itself where the words about it were lost', async () => {
  await world.redis.restart(100);
  const [from, to] = [await connect(world.url, sender), await connect(sisterUrl, receiver)];
  await to.until(() => {
    // Queued as soon as the store is back; who was not told looks when it hears again.
    from.socket.send(encodeEnvelope(signedRequest(sender, undefined, 8)));
    return to.frames.length > 0;
  });
});

it('lives on where the store is lost again while it asks to hear its sisters', async ({ onTestFinished }) => {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): unknown => unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  onTestFinished(() => void process.off('unhandledRejection', onUnhandled));
  // Asked for it the first time it hears; each of the next three times the line breaks instead of an answer.
  const line = await lineThatBreaks([2, 3, 4]);
  onTestFinished(line.close);
  let missed = 0;
  const onMissed = (): unknown => (missed += 1);
  const sisters = new Sisters(line.broker, world.log, {
    onMail: () => undefined,
    onConnected: () => undefined,
    onMissed,
  });
  onTestFinished(() => sisters.close());
  await sisters.ready();
  expect(missed).toBe(1);
  line.cut();
  await expect.poll(() => missed).toBe(2);
  expect(line.asked()).toBeGreaterThanOrEqual(5);
  expect(unhandled).toEqual([]);
});

interface BreakingLine {
  readonly broker: string;
  /** How often somebody asked to hear something. */
  readonly asked: () => number;
  readonly cut: () => void;
  readonly close: () => Promise<void>;
}

/** A line to the store that breaks in the place of the answer to those `SUBSCRIBE`s, the first is 1. */
async function lineThatBreaks(at: readonly number[]): Promise<BreakingLine> {
  const path = join(dirname(world.redis.socket), 'line.sock');
  const open = new Set<Socket>();
  let asked = 0;
  const server = createServer((near) => {
    const far = createConnection(world.redis.socket);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
    far.pipe(near);
    near.on('data', (chunk: Buffer) => {
      if (chunk.toString('latin1').toLowerCase().includes('\r\nsubscribe\r\n')) {
        asked += 1;
        if (at.includes(asked)) {
          near.destroy();
          return;
        }
      }
      far.write(chunk);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  return {
    broker: `unix://${path}`,
    asked: () => asked,
    cut,
    close: () => {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
