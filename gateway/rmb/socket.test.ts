import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { Outbox } from './outbox.ts';
import { DEFAULT_TIMING, RelaySocket, type SocketTiming } from './socket.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A WebSocket server; with `autoPong: false` one that reads but never says anything. */
async function listen(options: { autoPong?: boolean } = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', autoPong: options.autoPong ?? true });
  await new Promise((resolve) => server.once('listening', resolve));
  const queries: string[] = [];
  server.on('connection', (_ws, request) => queries.push(request.url ?? ''));
  ends.push(() => {
    for (const ws of server.clients) ws.terminate();
    server.close();
  });
  return { server, queries, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function dial(url: string, timing: Partial<SocketTiming>) {
  const states: string[] = [];
  let number = 0;
  const socket = new RelaySocket({
    url,
    token: () => `token-${++number}`,
    onFrame: () => undefined,
    onRoom: () => outbox.flush(),
    onState: (state) => states.push(state),
    timing: { firstPauseMs: 20, longestPauseMs: 50, ...timing },
  });
  const outbox = new Outbox(() => [socket]);
  ends.push(() => socket.close());
  socket.start();
  return { socket, outbox, states };
}

async function until(condition: () => boolean, withinMs: number): Promise<void> {
  const start = Date.now();
  while (!condition()) {
    if (Date.now() - start > withinMs) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await sleep(5);
  }
}

describe('a relay socket', () => {
  it('shows a fresh token at each attempt', async () => {
    const { server, queries, url } = await listen();
    const { states } = dial(url, {});
    await until(() => states.includes('open'), 20_000);
    for (const ws of server.clients) ws.terminate();
    await until(() => queries.length === 2, 20_000);
    expect(queries).toEqual(['/?token-1', '/?token-2']);
  });

  it('keeps its token to itself, whatever is told about the address it dialled', async () => {
    const server = createHttpServer((request, response) => response.writeHead(404).end(`no page ${request.url}`));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    ends.push(() => void server.close());
    for (const url of [`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, 'ws://[']) {
      const { socket, states } = dial(url, {});
      await until(() => states.includes('lost'), 20_000);
      expect(socket.lastProblem).toMatch(/^(relay answered 404: no page|Invalid URL: ).*…$/);
    }
  });

  it('closes once, however often it is told to', async () => {
    const { url } = await listen();
    const { socket } = dial(url, {});
    await until(() => socket.open, 20_000);
    await Promise.all([socket.close(), socket.close()]);
    await socket.close();
    expect(socket.open).toBe(false);
  });

  it('keeps a quiet line open by pings', async () => {
    const { url } = await listen();
    const { socket, states } = dial(url, { pingMs: 100, silenceMs: 1000 });
    await until(() => socket.open, 20_000);
    await sleep(1500);
    expect(states).toEqual(['open']);
  });

  it('leaves a line on which nothing comes back, and says so', async () => {
    const { url } = await listen({ autoPong: false });
    const { socket, states } = dial(url, { pingMs: 40, silenceMs: 150 });
    await until(() => states.includes('lost'), 20_000);
    const [, silentMs] = /^no byte from the relay for (\d+) ms$/.exec(socket.lastProblem ?? '') ?? [];
    expect(Number(silentMs)).toBeGreaterThanOrEqual(150);
  });

  it('notices a line that went dead in the middle', async () => {
    const { url } = await listen();
    const target = Number(new URL(url).port);
    const pairs: Socket[] = [];
    const proxy: Server = createServer((near) => {
      const far = connect(target, '127.0.0.1');
      pairs.push(near, far);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.pipe(to);
        from.on('error', () => to.destroy());
      }
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', () => resolve()));
    ends.push(() => {
      for (const socket of pairs) socket.destroy();
      proxy.close();
    });
    const { socket, states } = dial(`ws://127.0.0.1:${(proxy.address() as AddressInfo).port}`, {
      pingMs: 40,
      silenceMs: 150,
    });
    await until(() => socket.open, 20_000);
    for (const half of pairs) half.unpipe().pause();
    await until(() => states.includes('lost'), 20_000);
    // The next connection goes through the proxy anew.
    await until(() => socket.open, 20_000);
  });

  it('with its default timing notices within 40 s', () => {
    expect(DEFAULT_TIMING.silenceMs + DEFAULT_TIMING.pingMs / 4).toBeLessThanOrEqual(40_000);
    // Two pings fit into the silence, so one lost answer ends nothing.
    expect(DEFAULT_TIMING.pingMs * 2).toBeLessThan(DEFAULT_TIMING.silenceMs);
  });
});

describe('the outbox', () => {
  it('waits for the line, sends in order, and gives up in time', async () => {
    const { server, url } = await listen();
    const got: string[] = [];
    server.on('connection', (ws) => ws.on('message', (data) => got.push(data.toString())));
    const { outbox, socket } = dial(url, {});
    const sent = ['a', 'b', 'c'].map((text) => outbox.send(Buffer.from(text), 20_000));
    await Promise.all(sent);
    await outbox.send(Buffer.from('d'), 20_000);
    await until(() => got.length === 4, 20_000);
    expect(got).toEqual(['a', 'b', 'c', 'd']);
    await socket.close();
    await expect(outbox.send(Buffer.from('e'), 50)).rejects.toMatchObject({ kind: 'relay-lost' });
  });

  it('sends by another line what one took and could not send, within the same time', async () => {
    /** A line that takes everything; frames leave it, or not, when the test says so. */
    const line = (cooling: boolean) => {
      const taken: { bytes: Uint8Array; fail: () => void }[] = [];
      const socket = {
        open: true,
        cooling,
        trySend: (bytes: Uint8Array, onFailed: () => void) => taken.push({ bytes, fail: onFailed }) > 0,
      };
      return { taken, socket: socket as unknown as RelaySocket & { cooling: boolean } };
    };
    const [one, two] = [line(false), line(false)];
    const outbox = new Outbox(() => [one.socket, two.socket]);
    expect(await outbox.send(Buffer.from('a'), 60_000)).toBe(one.socket);
    expect(await outbox.send(Buffer.from('b'), 0)).toBe(one.socket);
    // A line that is lost is one that made trouble.
    Object.assign(one.socket, { cooling: true });
    for (const { fail } of one.taken) fail();
    expect(two.taken.map(({ bytes }) => bytes.toString())).toEqual(['a']);
    expect(await outbox.send(Buffer.from('c'), 60_000)).toBe(two.socket);
    outbox.close();
    two.taken[0]?.fail();
    expect(one.taken.length).toBe(2);
  });

  it('takes nothing after its end, and nothing whose sender gave up', async () => {
    const outbox = new Outbox(() => []);
    const gone = outbox.send(Buffer.from('a'), 60_000, AbortSignal.abort('gone'));
    await expect(gone).rejects.toMatchObject({ kind: 'cancelled' });
    outbox.close();
    await expect(outbox.send(Buffer.from('b'), 60_000)).rejects.toMatchObject({ kind: 'closed' });
  });

  it('sends by another line also what had waited for the one that could not send it', async () => {
    const taken: string[] = [];
    const fails: (() => void)[] = [];
    let open = false;
    const line = (name: string) => ({
      cooling: false,
      trySend: (_: Uint8Array, onFailed: () => void) => {
        if (!open) return false;
        taken.push(name);
        fails.push(onFailed);
        return true;
      },
    });
    const sockets = [line('one'), line('two')];
    const outbox = new Outbox(() => sockets as unknown as RelaySocket[]);
    const sent = outbox.send(Buffer.from('a'), 60_000);
    open = true;
    outbox.flush();
    await sent;
    Object.assign(sockets[0] ?? {}, { cooling: true });
    fails[0]?.();
    expect(taken).toEqual(['one', 'two']);
    outbox.close();
  });

  it('is bounded', async () => {
    const outbox = new Outbox(() => []);
    const waiting = Array.from({ length: 2048 }, () => outbox.send(Buffer.alloc(1), 5000));
    const ended = Promise.allSettled(waiting);
    await expect(outbox.send(Buffer.alloc(1), 5000)).rejects.toMatchObject({ kind: 'busy' });
    outbox.close();
    expect((await ended).every(({ status }) => status === 'rejected')).toBe(true);
    const other = new Outbox(() => []);
    const large = other.send(Buffer.alloc(32 * 1024 * 1024), 50);
    await expect(other.send(Buffer.alloc(1), 50)).rejects.toMatchObject({ kind: 'busy' });
    await expect(large).rejects.toMatchObject({ kind: 'relay-lost' });
  });
});
