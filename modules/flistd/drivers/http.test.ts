/** Requests to real servers on loopback: redirects, names, limits, deadlines, retries. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, BlockList } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { AddressGuard, type Resolve } from '../../host/addresses.ts';
import { FetchError, fetchBounded, RetryBudget } from './http.ts';
import { BodyLimitError, type Fetched } from './request.ts';

const servers: Server[] = [];
/** Request lines so far, with the host they name. */
const seen: string[] = [];

afterEach(async () => {
  seen.length = 0;
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Identity {
  readonly key: string;
  readonly cert: string;
}

async function serve(listener: RequestListener, address = '127.0.0.1', identity?: Identity): Promise<number> {
  const observed: RequestListener = (request, response) => {
    seen.push(`${request.headers.host?.replace(/:\d+$/, '')}${request.url}`);
    listener(request, response);
  };
  const server = identity === undefined ? createServer(observed) : createSecureServer(identity, observed);
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  servers.push(server);
  return (server.address() as AddressInfo).port;
}

const redirectTo =
  (location: string, status = 302): RequestListener =>
  (_, response) =>
    void response.writeHead(status, { location }).end('moved');

interface Wishes {
  readonly allowed?: readonly string[];
  readonly resolve?: Resolve;
  readonly signal?: AbortSignal;
  readonly deadlineMs?: number;
}

function fetched(url: string, { allowed = ['127.0.0.1/32'], resolve, ...rest }: Wishes = {}): Promise<Fetched> {
  const guard = new AddressGuard({ allowed, denyPrivate: false }, () => new BlockList(), resolve);
  return fetchBounded(url, new RetryBudget(2), { guard, deadlineMs: 5000, limitBytes: 1000, ...rest });
}

/** A key with a certificate for `hub.example`. */
function makeIdentity(): Identity {
  const folder = mkdtempSync(join(tmpdir(), 'gn-fc-'));
  try {
    const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
    const names = ['-subj', '/CN=hub.example', '-addext', 'subjectAltName=DNS:hub.example'];
    const made = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    execFileSync('openssl', ['req', ...made, ...names, '-keyout', key, '-out', cert], { stdio: 'pipe' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
}

const refused = (reason: string): object => ({
  name: 'UnusableAddressError',
  message: expect.stringContaining(reason),
});

describe('a request to an address that a stranger gave', () => {
  it('gets status, headers and body, and asks for no compression', async () => {
    let asked: unknown;
    const port = await serve((request, response) => {
      asked = request.headers;
      response.writeHead(200, 'Fine', { etag: '"e"' }).end('body');
    });
    const { status, statusText, headers, body } = await fetched(`http://127.0.0.1:${port}/a%20b?c=d#e`);
    expect([status, statusText, headers.etag, body.toString()]).toEqual([200, 'Fine', '"e"', 'body']);
    expect(asked).toMatchObject({ 'accept-encoding': 'identity', host: `127.0.0.1:${port}`, connection: 'close' });
    expect(seen).toEqual(['127.0.0.1/a%20b?c=d']);
  });

  it.each(['127.0.0.1', '127.1', '2130706433', '[::ffff:127.0.0.1]', 'localhost', '0.0.0.0'])(
    'never reaches this host as %s',
    async (host) => {
      const port = await serve((_, response) => void response.end('secret'), '::');
      await expect(fetched(`http://${host}:${port}/x.fl`, { allowed: [] })).rejects.toMatchObject(
        refused('one that this node makes no requests to'),
      );
      expect(seen).toEqual([]);
    },
  );

  it('goes to the address that was checked, whatever its name leads to a moment later', async () => {
    const port = await serve((_, response) => void response.end('body'));
    let asked = 0;
    const resolve: Resolve = async () => [{ address: asked++ === 0 ? '127.0.0.1' : '169.254.169.254', family: 4 }];
    expect((await fetched(`http://hub.example:${port}/x`, { resolve })).body.toString()).toBe('body');
    expect([asked, seen]).toEqual([1, ['hub.example/x']]);
    await expect(fetched(`http://hub.example:${port}/x`, { resolve })).rejects.toMatchObject(refused('its host'));
    // Refused at once, not tried again.
    expect([asked, seen.length]).toEqual([2, 1]);
  });

  it('is refused where one of the addresses of its name is', async () => {
    const port = await serve((_, response) => void response.end('body'));
    const resolve: Resolve = async () => ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    await expect(fetched(`http://hub.example:${port}/x`, { resolve })).rejects.toMatchObject(refused('its host'));
    expect(seen).toEqual([]);
  });

  it('follows five redirects, of which each is checked', async () => {
    const port = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) response.end('there');
      else response.writeHead([301, 302, 303, 307, 308][left % 5] ?? 0, { location: `/${left - 1}` }).end();
    });
    expect((await fetched(`http://127.0.0.1:${port}/5`)).body.toString()).toBe('there');
    expect(seen).toHaveLength(6);
    await expect(fetched(`http://127.0.0.1:${port}/6`)).rejects.toMatchObject(refused('too many'));
  });

  it.each([
    ['http://169.254.169.254/latest/meta-data', 'it redirects (1): its host is one'],
    ['//169.254.169.254/', 'it redirects (1): its host is one'],
    ['http://[::ffff:169.254.169.254]/', 'it redirects (1): its host is one'],
    ['http://127.0.0.2/', 'it redirects (1): its host is one'],
    ['http://hub.example/', 'it redirects (1): its host is one'],
    ['http://127.0.0.1:25/', 'it redirects (1): port 25 belongs to another service'],
    ['file:///etc/passwd', 'it redirects from http to file'],
    ['ftp://127.0.0.1/', 'it redirects from http to ftp'],
    ['http://', 'no address'],
    ['http://user:pass@127.0.0.1/', 'carries a password'],
  ])('a redirect to %s', async (location, reason) => {
    const port = await serve(redirectTo(location));
    const resolve: Resolve = async () => [{ address: '169.254.169.254', family: 4 }];
    const failure = await fetched(`http://127.0.0.1:${port}/x`, { resolve }).catch((error: unknown) => error);
    expect(failure).toMatchObject(refused(reason));
    expect((failure as Error).message).not.toContain('169.254');
    expect(seen).toHaveLength(1);
  });

  it.skipIf(!hasOpenssl())('never leaves https, and checks names and certificates there, too', async () => {
    const identity = makeIdentity();
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, identity.cert]);
    try {
      const plain = await serve((_, response) => void response.end('plain'));
      const port = await serve(
        (request, response) => {
          if (request.url === '/down') response.writeHead(302, { location: `http://hub.example:${plain}/` }).end();
          else if (request.url === '/on') response.writeHead(302, { location: '/there' }).end();
          else response.end('secure');
        },
        '127.0.0.1',
        identity,
      );
      const resolve: Resolve = async () => [{ address: '127.0.0.1', family: 4 }];
      const secure = `https://hub.example:${port}`;
      expect((await fetched(`${secure}/on`, { resolve })).body.toString()).toBe('secure');
      await expect(fetched(`${secure}/down`, { resolve })).rejects.toMatchObject(refused('from https to http'));
      await expect(fetched(secure, { resolve, allowed: [] })).rejects.toMatchObject(refused('its host'));
      await expect(fetched(`https://other.example:${port}`, { resolve })).rejects.toThrow(/does not match/);
      expect(seen).toEqual(['hub.example/on', 'hub.example/there', 'hub.example/down']);
      const up = await serve(redirectTo(`${secure}/there`));
      expect((await fetched(`http://127.0.0.1:${up}/`, { resolve })).body.toString()).toBe('secure');
    } finally {
      setDefaultCACertificates(before);
    }
  });

  it('takes an answer that names no other place as it is', async () => {
    const port = await serve((_, response) => void response.writeHead(302).end('nowhere'));
    expect(await fetched(`http://127.0.0.1:${port}/`)).toMatchObject({ status: 302 });
    const unchanged = await serve(redirectTo('/other', 304));
    expect(await fetched(`http://127.0.0.1:${unchanged}/`)).toMatchObject({ status: 304 });
  });

  it('ends at its size limit, its deadline, and when the caller gives up', async () => {
    const large = await serve((_, response) => void response.end(Buffer.alloc(1001)));
    await expect(fetched(`http://127.0.0.1:${large}/`)).rejects.toBeInstanceOf(BodyLimitError);
    const silent = await serve(() => undefined);
    const stuck = await serve((_, response) => void response.writeHead(200).write('begun'));
    for (const port of [silent, stuck]) {
      await expect(fetched(`http://127.0.0.1:${port}/`, { deadlineMs: 100 })).rejects.toMatchObject({
        name: 'FetchError',
        message: 'no answer within 100 ms',
        attempts: 1,
      });
      const giveUp = new AbortController();
      setTimeout(() => giveUp.abort(new Error('given up')), 100);
      await expect(fetched(`http://127.0.0.1:${port}/`, { signal: giveUp.signal })).rejects.toThrow('given up');
    }
    const resolve: Resolve = () => new Promise(() => undefined);
    await expect(fetched('http://hub.example/', { resolve, deadlineMs: 100 })).rejects.toThrow(
      'no answer within 100 ms',
    );
  });

  it('is tried again after a failed connection, a torn answer and a transient one', async () => {
    let times = 0;
    const port = await serve((_, response) => {
      times++;
      if (times === 1) response.destroy();
      else if (times === 2) response.writeHead(503).end();
      else response.end('at last');
    });
    expect((await fetched(`http://127.0.0.1:${port}/`)).body.toString()).toBe('at last');
    const torn = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 10 }).write('half');
      setTimeout(() => response.destroy(), 20);
    });
    await expect(fetched(`http://127.0.0.1:${torn}/`)).rejects.toMatchObject({ name: 'FetchError', attempts: 3 });
    const switched = await serve((_, response) => {
      response.socket?.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
    });
    await expect(fetched(`http://127.0.0.1:${switched}/`)).rejects.toBeInstanceOf(FetchError);
  });

  it('says which address it could not connect to, after three attempts', async () => {
    const port = await serve(() => undefined);
    const [server] = servers.splice(0);
    await new Promise((resolve) => server?.close(resolve));
    const failed = { attempts: 3, message: `connect ECONNREFUSED 127.0.0.1:${port}` };
    await expect(fetched(`http://127.0.0.1:${port}/`)).rejects.toMatchObject(failed);
    const resolve: Resolve = async () => ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
    await expect(fetched(`http://hub.example:${port}/`, { resolve, allowed: ['127.0.0.0/8'] })).rejects.toMatchObject(
      failed,
    );
  });
});
