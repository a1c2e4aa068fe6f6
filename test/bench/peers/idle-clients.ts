/**
 * Connections that say nothing but answer pings, as `node idle-clients.ts PORT COUNT`.
 * Bare sockets: a WebSocket library for each would cost more than what is measured.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { createToken } from '../../../gateway/rmb/index.ts';
import { CALLERS, identityOf } from './twins.ts';

const [, , port = '', count = ''] = process.argv;
/** Handshakes at once. */
const LANES = 64;
const HANDSHAKE_MS = 20_000;
const PING = 0x89;
const PONG = 0x8a;

const identities = new Map(
  await Promise.all(CALLERS.map(async (id) => [id, await identityOf(id, 'ed25519')] as const)),
);

/** The pings in what came; a relay sends nothing else to an idle session. */
function answerPings(socket: Socket, data: Buffer): void {
  for (let at = 0; at + 2 <= data.length; ) {
    const length = (data[at + 1] ?? 0) & 0x7f;
    const payload = data.subarray(at + 2, at + 2 + length);
    // A mask of zeros leaves the payload as it is.
    if (data[at] === PING) socket.write(Buffer.concat([Buffer.from([PONG, 0x80 | length, 0, 0, 0, 0]), payload]));
    at += 2 + length;
  }
}

function dial(index: number): Promise<void> {
  const twin = CALLERS[index % CALLERS.length] ?? 0;
  const identity = identities.get(twin);
  if (identity === undefined) throw new Error(`no identity for twin ${twin}`);
  const token = createToken(identity, twin, `idle-${index}`, Math.floor(Date.now() / 1000));
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1');
    const timer = setTimeout(() => socket.destroy(new Error('handshake took too long')), HANDSHAKE_MS);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the relay closed a connection')));
    socket.once('data', (head) => {
      clearTimeout(timer);
      const text = head.toString('latin1');
      if (!text.startsWith('HTTP/1.1 101 ')) return socket.destroy(new Error(text.slice(0, 200)));
      socket.on('data', (data) => answerPings(socket, data));
      resolve();
    });
    const lines = ['Host: relay', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];
    lines.push(`Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`);
    socket.write(`GET /?${token} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  });
}

let next = 0;
async function lane(): Promise<void> {
  while (next < Number(count)) {
    next += 1;
    await dial(next - 1);
  }
}

process.stdout.write('{"msg":"ready"}\n');
// The relay counts them; they end with this process.
await Promise.all(Array.from({ length: LANES }, lane));
