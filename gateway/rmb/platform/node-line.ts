/** A line over `ws`. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { writeTogether } from '../together.ts';
import type { Line, LineEvents } from './interface.ts';

export function dialWithWs(
  url: string,
  options: { readonly handshakeMs: number; readonly maxBytes: number },
  events: LineEvents,
): Line {
  const ws = new WebSocket(url, {
    perMessageDeflate: false,
    handshakeTimeout: options.handshakeMs,
    maxPayload: options.maxBytes,
    followRedirects: false,
  });
  let problem = '';
  let socket: Socket | undefined;

  ws.on('upgrade', (response: IncomingMessage) => {
    socket = response.socket;
    socket.setNoDelay(true);
  });
  ws.on('unexpected-response', (request, response) => {
    readShortBody(response, (body) => {
      problem = `relay answered ${response.statusCode}: ${body}`;
      request.destroy();
      ws.terminate();
    });
  });
  ws.on('open', events.onOpen);
  ws.on('message', (data: Buffer, isBinary: boolean) => {
    // Relays send envelopes only; a text is a broken relay's.
    if (isBinary) events.onFrame(data);
  });
  ws.on('pong', events.onSign);
  ws.on('error', (error) => {
    problem ||= error.message;
  });
  ws.on('close', (code, reason) => {
    events.onClose(problem || `closed by the relay (${code}${reason.length > 0 ? ` ${reason.toString()}` : ''})`);
  });

  return {
    get open() {
      return ws.readyState === WebSocket.OPEN;
    },
    get bufferedBytes() {
      return ws.bufferedAmount;
    },
    get received() {
      return socket?.bytesRead ?? 0;
    },
    send: (bytes, done) => {
      if (socket !== undefined) writeTogether(socket);
      ws.send(bytes, { binary: true }, (error) => done(error ?? undefined));
    },
    ping: () => ws.ping(),
    pause: () => ws.pause(),
    resume: () => ws.resume(),
    close: () => (ws.readyState === WebSocket.CONNECTING ? ws.terminate() : ws.close(1000)),
    terminate: () => ws.terminate(),
  };
}

function readShortBody(response: IncomingMessage, done: (body: string) => void): void {
  let body = '';
  const finish = (): void => {
    clearTimeout(timer);
    done(body.slice(0, 200));
  };
  const timer = setTimeout(finish, 1000);
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    if (body.length < 200) body += chunk;
  });
  response.once('end', finish);
  response.once('error', finish);
}
