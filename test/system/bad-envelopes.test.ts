import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { httpPort } from '../../cli/node/ports.ts';
import type { Envelope } from '../../gateway/rmb/index.ts';
import { killUnit, untilBack } from './kill.ts';
import { untilLogged } from './node-log.ts';
import { bytesOf, nowSeconds, RawLine, type RequestWish, request } from './raw-line.ts';
import { expectUnchanged, type Standing, standingOf, unitsOf } from './standing.ts';
import { Tenant } from './tenant.ts';
import { isRoot, startTestNode, type TestNode } from './test-node.ts';

const SESSION = 'raw';

describe.skipIf(!isRoot)('envelopes that a node must not believe', () => {
  let node: TestNode;
  let user: Tenant;
  let line: RawLine;
  let before: Standing;

  beforeAll(async () => {
    node = await startTestNode({ logLevel: 'debug' });
    user = await Tenant.open(node);
    await user.answered();
    line = await RawLine.open(relay(), user.identity, user.twin, SESSION);
    before = await standingOf(user);
  }, 180_000);

  afterAll(async () => {
    line?.close();
    if (node !== undefined) expect(await node.stop()).toEqual([]);
  }, 120_000);

  const relay = (): string => node.config.relay[0] ?? '';
  const wish = (change: Partial<RequestWish> = {}): RequestWish => ({
    source: { twin: user.twin, session: SESSION },
    destination: { twin: node.registration.twins.node },
    ...change,
  });
  const refusedAs = (check: string, code: string) =>
    untilLogged(node.layout, 'gateway', (entry) => entry.check === check && entry.code === code);
  /** Code and text of the answer to an envelope. */
  const told = async (envelope: Envelope): Promise<readonly [number, string] | undefined> => {
    line.send(bytesOf(envelope));
    const answer = await line.answer(envelope.uid);
    return answer?.message.case === 'error' ? [answer.message.value.code, answer.message.value.message] : undefined;
  };
  /** A good request sent after a bad one is answered, and the bad one was not. */
  const nothingFor = async (uid: string): Promise<void> => {
    const good = request(wish(), user.identity);
    line.send(bytesOf(good));
    expect((await line.answer(good.uid))?.message.case).toBe('response');
    expect(line.received.filter((envelope) => envelope.uid === uid)).toEqual([]);
  };

  it('a signature with one flipped bit is dropped and counted', async () => {
    const envelope = request(wish(), user.identity);
    const signature = Uint8Array.from(envelope.signature ?? []);
    signature[40] = (signature[40] ?? 0) ^ 1;
    line.send(bytesOf({ ...envelope, signature }));
    const entry = await refusedAs('signature', 'signature_invalid');
    expect(entry.reason).toBe(`invalid envelope signature of twin ${user.twin}: sr25519 signature verification failed`);
    await nothingFor(envelope.uid);
    await expectUnchanged(user, before);
  });

  it.each([
    ['no signature', undefined, 'message is not signed'],
    ['the signature of another twin', 'farmer', 'sr25519 signature verification failed'],
  ] as const)('%s is dropped', async (_what, signer, reason) => {
    const envelope = request(wish(), signer === undefined ? undefined : await node.identity(signer));
    line.send(bytesOf(envelope));
    await untilLogged(node.layout, 'gateway', (entry) => `${entry.reason}`.endsWith(`twin ${user.twin}: ${reason}`));
    await nothingFor(envelope.uid);
    await expectUnchanged(user, before);
  });

  it('an expired request is told both clocks', async () => {
    const timestamp = nowSeconds() - 100;
    const [code, text] = (await told(request(wish({ timestamp, expiration: 10 }), user.identity))) ?? [];
    expect(code).toBe(1101);
    expect(text).toMatch(
      new RegExp(
        `^message has expired: this clock says \\d{10}, the sender's said ${timestamp}, 10\\d s earlier, and the message was to live 10 s; set the sender's clock`,
      ),
    );
    await expectUnchanged(user, before);
  });

  it('a request from the future or one that would live for hours is told the limits', async () => {
    const timestamp = nowSeconds() + 400;
    expect(await told(request(wish({ timestamp }), user.identity))).toEqual([
      1102,
      expect.stringMatching(
        new RegExp(
          `^the message is from the future: .* the sender's said ${timestamp}, \\d{3} s later; at most 60 s ahead`,
        ),
      ),
    ]);
    expect(await told(request(wish({ expiration: 7200 }), user.identity))).toEqual([
      1103,
      'the message asks to live 7200 s, from 1 s to 3600 s are accepted; set expiration to the seconds that the caller waits',
    ]);
    await expectUnchanged(user, before);
  });

  it('a replayed request runs once', async () => {
    const bytes = bytesOf(request(wish(), user.identity));
    line.send(bytes);
    line.send(bytes);
    const entry = await refusedAs('replay', 'envelope_replayed');
    const uid = /^message "(.*)" of twin/.exec(`${entry.reason}`)?.[1] ?? '';
    expect(entry.reason).toBe(
      `message "${uid}" of twin ${user.twin} was received before; give every request a uid of its own`,
    );
    const good = request(wish(), user.identity);
    line.send(bytesOf(good));
    await line.answer(good.uid);
    expect(line.received.filter((envelope) => envelope.uid === uid)).toHaveLength(1);
    await expectUnchanged(user, before);
  });

  it('who watches the node sees over HTTP that it is well and what was refused', async () => {
    const page = `http://${node.config.address}:${httpPort}`;
    const health = await fetch(`${page}/health`);
    expect([health.status, await health.json()]).toEqual([200, { healthy: true }]);
    const metrics = await (await fetch(`${page}/metrics`)).text();
    expect(metrics).toMatch(/gateway_door_refused_total\{check="replay",code="envelope_replayed"\} [1-9]/);
  });

  it('a twin that the chain does not know gets no connection', async () => {
    await expect(RawLine.open(relay(), user.identity, 4000, SESSION)).rejects.toThrow('401 twin not found 4000');
    await expect(RawLine.open(relay(), user.identity, node.registration.twins.farmer, SESSION)).rejects.toThrow(
      '401 invalid jwt: jwt: Invalid signature',
    );
    await expectUnchanged(user, before);
  });

  it.each([
    ['another twin as source', { source: { twin: 4000, session: SESSION } }, 'message wrong source'],
    ['another session as source', { source: { twin: 3, session: 'other' } }, 'message wrong source'],
    ['an unknown destination', { destination: { twin: 4000 } }, 'unknown twin destination'],
    [
      'a session that the node has not',
      { destination: { twin: 2, session: 'no' }, tags: 'fail-fast' },
      'destination offline',
    ],
  ] as const)('%s is refused by the relay', async (_what, change, text) => {
    expect(node.registration.twins).toMatchObject({ node: 2, user: 3 });
    expect(await told(request(wish(change), user.identity))).toEqual([0, text]);
    await expectUnchanged(user, before);
  });

  it('bytes that are no envelope end the sender’s connection and nothing else', async () => {
    const rude = await RawLine.open(relay(), user.identity, user.twin, 'rude');
    rude.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await expect.poll(() => rude.closed, { timeout: 20_000 }).toBe(1007);
    await expectUnchanged(user, before);
  });

  it('a payload that was encrypted with other keys is told so', async () => {
    const payload = { case: 'cipher', value: Buffer.alloc(64, 7) } as const;
    expect(await told(request(wish({ payload }), user.identity))).toEqual([
      1112,
      `the payload of twin ${user.twin} cannot be decrypted: the data does not belong to this pair of keys; check that both public keys on the chain are the ones in use`,
    ]);
    await expectUnchanged(user, before);
  });

  it('an envelope beyond the limit is told both sizes', async () => {
    const payload = { case: 'plain', value: Buffer.alloc(3 * 1024 * 1024, 32) } as const;
    expect(await told(request(wish({ payload }), user.identity))).toEqual([
      1000,
      expect.stringMatching(
        /^envelope of 31\d{5} bytes is larger than the limit of 2097152 bytes; send a smaller payload$/,
      ),
    ]);
    await expectUnchanged(user, before);
  });

  it('an unknown command is answered in the words that clients know', async () => {
    expect(await told(request(wish({ command: 'zos.no.such' }), user.identity))).toEqual([0, 'function is not found']);
    await expectUnchanged(user, before);
  });

  it('a replayed request runs once, also when the gateway was killed in between', async () => {
    const envelope = request(wish({ expiration: 600 }), user.identity);
    line.send(bytesOf(envelope));
    expect((await line.answer(envelope.uid))?.message.case).toBe('response');
    const { pid } = await node.zinit.status('gateway');
    await killUnit(node, 'gateway');
    await untilBack(node, 'gateway', pid);
    before = { ...before, units: await unitsOf(user) };
    line.send(bytesOf(envelope));
    await untilLogged(
      node.layout,
      'gateway',
      (entry) => entry.code === 'envelope_replayed' && `${entry.reason}`.includes(envelope.uid),
    );
    const good = request(wish(), user.identity);
    line.send(bytesOf(good));
    expect((await line.answer(good.uid))?.message.case).toBe('response');
    expect(line.received.filter(({ uid }) => uid === envelope.uid)).toHaveLength(1);
    await expectUnchanged(user, before);
  }, 120_000);
});
