/** A line over the browser's WebSocket, which tells less and can neither ping nor pause. */
import type { Line, LineEvents } from './interface.ts';

/** Milliseconds between looks at a buffer that has no event for being empty. */
const LOOK_MS = 50;

/** Of the browser's class only what is used; Node's own WebSocket has it too. */
interface Socket {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  send(bytes: Uint8Array): void;
  close(code?: number): void;
}

const OPEN = 1;

export function dialWithBrowser(
  url: string,
  options: { readonly handshakeMs: number; readonly maxBytes: number },
  events: LineEvents,
): Line {
  const { WebSocket } = globalThis as unknown as { readonly WebSocket: new (url: string) => Socket };
  const ws = new WebSocket(url);
  ws.binaryType = 'arraybuffer';
  let received = 0;
  let opened = false;
  let ended = false;

  // A socket that is told to close may take its time to say so.
  const end = (problem: string): void => {
    if (ended) return;
    ended = true;
    clearTimeout(handshake);
    ws.onopen = null;
    ws.onmessage = null;
    ws.onclose = null;
    events.onClose(problem);
  };
  const terminate = (problem: string): void => {
    ws.close();
    queueMicrotask(() => end(problem));
  };
  const handshake = setTimeout(
    () => terminate(`the relay did not take the connection within ${options.handshakeMs} ms`),
    options.handshakeMs,
  );
  ws.onopen = () => {
    clearTimeout(handshake);
    opened = true;
    events.onOpen();
  };
  ws.onmessage = ({ data }) => {
    if (!(data instanceof ArrayBuffer)) return;
    received += data.byteLength;
    if (data.byteLength > options.maxBytes) terminate(`the relay sent ${data.byteLength} bytes at once`);
    else events.onFrame(new Uint8Array(data));
  };
  ws.onclose = ({ code, reason }) => {
    // Browsers keep the reason of a refused handshake to themselves.
    const how = opened ? 'closed by the relay' : 'the relay cannot be reached or refused the connection';
    end(`${how} (${code}${reason === '' ? '' : ` ${reason}`})`);
  };

  return {
    get open() {
      return !ended && ws.readyState === OPEN;
    },
    get bufferedBytes() {
      return ws.bufferedAmount;
    },
    get received() {
      return received;
    },
    send(bytes, done) {
      ws.send(bytes);
      const before = ws.bufferedAmount;
      const look = (): void => {
        if (ended || ws.bufferedAmount < before || ws.bufferedAmount === 0) done();
        else setTimeout(look, LOOK_MS);
      };
      if (before === 0) queueMicrotask(() => done());
      else setTimeout(look, LOOK_MS);
    },
    close: () => (opened ? ws.close(1000) : terminate('closed')),
    terminate: () => terminate('ended'),
  };
}
