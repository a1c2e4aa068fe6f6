/** One HTTP GET to a stranger's address: every host on its way checked, its body bounded. */
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { type AddressGuard, UnusableAddressError } from '../../host/addresses.ts';

export interface Fetched {
  readonly status: number;
  readonly statusText: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface GetOptions {
  readonly guard: AddressGuard;
  readonly limitBytes: number;
  readonly headers?: Record<string, string>;
  readonly signal: AbortSignal;
}

/** An answer longer than allowed. */
export class BodyLimitError extends Error {
  override readonly name = 'BodyLimitError';
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const REDIRECTS_LIMIT = 5;

/** Ports of other services, to which no browser makes a request: "bad ports" of the Fetch standard, section 2.9. */
const OTHER_PORTS = new Set([
  ...[1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109],
  ...[110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530],
  ...[531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190],
  ...[5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080],
]);

/**
 * The answer at the end of at most five redirects.
 * @throws UnusableAddressError, BodyLimitError; what the connection failed with
 */
export async function get(url: URL, options: GetOptions): Promise<Fetched> {
  let at = url;
  for (let redirects = 0; ; redirects++) {
    try {
      const response = await open(at, options);
      const status = response.statusCode ?? 0;
      const location = REDIRECTS.has(status) ? response.headers.location : undefined;
      if (location === undefined) {
        const { statusMessage: statusText = '', headers } = response;
        return { status, statusText, headers, body: await readBody(response, options) };
      }
      response.destroy();
      if (redirects === REDIRECTS_LIMIT) throw new UnusableAddressError('there are too many of them');
      at = redirected(at, location);
    } catch (error) {
      if (redirects === 0 || !(error instanceof UnusableAddressError)) throw error;
      throw new UnusableAddressError(`it redirects (${redirects}): ${error.message}`);
    }
  }
}

function checkPort({ port }: URL): void {
  if (port === '0') throw new UnusableAddressError('port 0 is no port');
  if (port !== '' && OTHER_PORTS.has(Number(port))) {
    throw new UnusableAddressError(`port ${port} belongs to another service than HTTP`);
  }
}

function redirected(from: URL, location: string): URL {
  let to: URL;
  try {
    to = new URL(location, from);
  } catch {
    throw new UnusableAddressError('it redirects to what is no address');
  }
  if (to.protocol !== 'https:' && (to.protocol !== 'http:' || from.protocol === 'https:')) {
    throw new UnusableAddressError(`it redirects from ${from.protocol.slice(0, -1)} to ${to.protocol.slice(0, -1)}`);
  }
  if (to.username !== '' || to.password !== '') {
    throw new UnusableAddressError('it redirects to an address that carries a password');
  }
  return to;
}

/** Each request has a connection of its own: one that was kept would not be checked again. */
function open(url: URL, { guard, headers, signal }: GetOptions): Promise<IncomingMessage> {
  checkPort(url);
  guard.check(url);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)({
    protocol: url.protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port,
    path: `${url.pathname}${url.search}`,
    headers: { host: url.host, accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'gridnode', ...headers },
    agent: false,
    lookup: guard.lookup,
    signal,
  });
  request.once('response', resolve);
  // Stays for what comes after the answer has begun, which reading the body hears of.
  request.on('error', reject);
  request.once('close', () => reject(new Error('the connection closed without an answer')));
  request.end();
  return promise;
}

async function readBody(response: IncomingMessage, { limitBytes, signal }: GetOptions): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limitBytes) throw new BodyLimitError(`the answer has more than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  signal.throwIfAborted();
  if (!response.complete) throw new Error('the answer ended early');
  return Buffer.concat(chunks);
}
