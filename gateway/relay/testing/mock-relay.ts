/** What looks like another relay: it keeps what was posted and answers as it is told. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Post {
  readonly method: string;
  readonly url: string;
  readonly body: Buffer;
  readonly headers: NodeJS.Dict<string | string[]>;
}

export class MockRelay {
  readonly posts: Post[] = [];
  /** Status of the next answers, the last of them for ever; 0 breaks the line. */
  answers: number[] = [202];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('error', () => undefined);
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method = '', url = '', headers } = request;
        this.posts.push({ method, url, headers, body: Buffer.concat(chunks) });
        const status = this.answers.length > 1 ? (this.answers.shift() ?? 202) : (this.answers[0] ?? 202);
        if (status === 0) request.socket.destroy();
        else response.writeHead(status).end(status === 202 ? '' : 'some text');
      });
    });
  }

  static async start(): Promise<MockRelay> {
    const relay = new MockRelay();
    await new Promise<void>((resolve) => relay.#server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
