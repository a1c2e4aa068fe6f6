/** Two of our relays, each with a Redis and a name of its own, behind TLS. */
import { type AddressInfo, connect } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeEnvelope } from '../../rmb/envelope.ts';
import { type Certificates, makeCertificates } from '../testing/certificates.ts';
import { connectPeer, type Peer, signedRequest } from '../testing/peer.ts';
import { World } from '../testing/world.ts';

const PATIENCE = { timeout: 20_000 };
let certificates: Certificates;
let one: World;
let two: World;
const fronts: Server[] = [];
const peers: Peer[] = [];

/** What a farm puts before its relay: ends TLS and passes the bytes on. */
async function front(target: () => number): Promise<URL> {
  const server = createServer({ key: certificates.key, cert: certificates.cert }, (near) => {
    const far = connect(target(), '127.0.0.1');
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => near.destroy());
    near.on('close', () => far.destroy());
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  fronts.push(server);
  return new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

beforeEach(async () => {
  certificates = await makeCertificates(['one.example', 'two.example']);
  const routes = new Map([
    ['one.example', await front(() => one.port)],
    ['two.example', await front(() => two.port)],
    // It is two.example that answers there, and its certificate says so.
    ['liar.example', await front(() => two.port)],
  ]);
  const federation = { routes, ca: certificates.ca, timing: { retryMs: 100, roundPauseMs: 5 } };
  one = await World.start({ domains: ['one.example'], federation });
  two = await World.start({ domains: ['two.example', 'other-name.example'], twins: one.twins, federation });
});
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.socket.terminate();
  await one.stop();
  await two.stop();
  for (const server of fronts.splice(0)) await new Promise((resolve) => server.close(resolve));
  await certificates.remove();
});

async function peerAt(
  world: World,
  id: number,
  relay: string,
): Promise<{ peer: Peer; twin: Awaited<ReturnType<World['chain']['add']>> }> {
  const twin = await one.chain.add(id, 'ed25519', { relay: [relay] });
  const peer = await connectPeer(world.url, twin);
  peers.push(peer);
  return { peer, twin };
}

async function metrics(world: World): Promise<string> {
  return await (await fetch(`http://127.0.0.1:${world.port}/metrics`)).text();
}

describe('two relays', () => {
  it("carry calls and answers of each other's twins", { timeout: 90_000 }, async () => {
    const user = await one.chain.add(7, 'sr25519', { relay: ['one.example'] });
    const node = await one.chain.add(17, 'ed25519', { relay: ['two.example'] });
    const caller = one.client(user, { session: 'cli', relays: [one.url] });
    const server = two.client(node, { relays: [two.url], twins: one.twins });
    two.serve(server, node, { twins: one.twins });
    await Promise.all([caller.connect(), server.connect()]);
    const calls = Array.from({ length: 10 }, (_, index) =>
      caller.call({ twin: 17, command: `zos.n${index}`, payload: `${index}`, deadlineMs: 60_000 }),
    );
    const answers = (await Promise.all(calls)).map((bytes) => JSON.parse(Buffer.from(bytes).toString('utf8')));
    expect(answers.map(({ got }) => got)).toEqual(calls.map((_, index) => `${index}`));
    // An answer may be here before the relay's word that it took the request.
    await expect.poll(() => metrics(one), PATIENCE).toContain('federation_message_success{relay="two.example"} 10');
    await expect.poll(() => metrics(two), PATIENCE).toContain('federation_message_success{relay="one.example"} 10');
  });

  it('wait for each other', async () => {
    const { peer, twin } = await peerAt(one, 7, 'one.example');
    await one.chain.add(17, 'ed25519', { relay: ['two.example'] });
    await two.relay.close();
    peer.socket.send(encodeEnvelope(signedRequest(twin, undefined, 17, { uid: 'patient' })));
    await expect.poll(() => metrics(one), PATIENCE).toMatch(/federation_message_error\{relay="two.example"\} [1-9]/);
    two.relay = two.newRelay({ domains: ['two.example'], twins: one.twins, federation: {} });
    await two.relay.listen('127.0.0.1', two.port);
    await expect.poll(() => metrics(two), PATIENCE).toContain('relay_message_queued_total 1');
    expect(peer.frames.length).toBe(0);
  });

  it('pass nothing on twice, whatever the chain says', async () => {
    const { peer, twin } = await peerAt(one, 7, 'one.example');
    // Both relays believe that the other has this twin, as while its record changes.
    await one.chain.add(17, 'ed25519', { relay: ['two.example'] });
    await one.twins.twin(17);
    await one.chain.add(18, 'ed25519', { relay: ['liar.example'] });
    const moved = await two.chain.add(17, 'ed25519', { relay: ['one.example'] });
    await two.relay.close();
    two.relay = two.newRelay({ domains: ['two.example'], twins: two.chain, federation: {} });
    two.chain.put(7, twin.identity, { relay: ['one.example'] });
    await two.relay.listen('127.0.0.1', two.port);
    peer.socket.send(encodeEnvelope(signedRequest(twin, undefined, moved.id)));
    await peer.until(() => peer.frames.length === 1);
    expect(peer.errors).toEqual(['remote relay rejected permanently: destination offline']);
    expect(await metrics(two)).not.toMatch(/federation_message_(success|error)\{/);
  });

  it("speak to nobody whose certificate is another's", async () => {
    const { peer, twin } = await peerAt(one, 7, 'one.example');
    await one.chain.add(18, 'ed25519', { relay: ['liar.example'] });
    peer.socket.send(encodeEnvelope(signedRequest(twin, undefined, 18, { expiration: 2n })));
    await peer.until(() => peer.frames.length === 1);
    expect(peer.errors).toEqual(['message has expired']);
    expect(await metrics(two)).not.toMatch(/federation_posts_total\{/);
  });
});
