import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DaemonMetrics } from '../modules/zbus/telemetry/metrics.ts';
import { isGridError } from '../schemas/errors/index.ts';
import { type OnCheck, VERIFIED_USERS_LIMITS, VerifiedUsers, type VerifiedUsersLimits } from './kyc.ts';
import { Observed } from './observed.ts';
import { Stand } from './testing/provisiond.ts';
import { networkWorkload } from './testing/tenant.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let answer: Answer;
let asked: string[];
const { signal } = new AbortController();

const status =
  (text: string, code = 200): Answer =>
  (_request, response) => {
    response.writeHead(code, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ result: { status: text } }));
  };

function users(limits: Partial<VerifiedUsersLimits> = {}, onCheck?: OnCheck): VerifiedUsers {
  const { port } = server.address() as AddressInfo;
  return new VerifiedUsers(`http://127.0.0.1:${port}`, { ...VERIFIED_USERS_LIMITS, ...limits }, onCheck);
}

const refusal = (work: Promise<void>): Promise<unknown> =>
  work.then(
    () => 'verified',
    (error: unknown) => (isGridError(error) ? `${error.code}, ${error.retryable ? 'again' : 'final'}` : error),
  );

beforeEach(async () => {
  asked = [];
  answer = status('VERIFIED');
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

describe('W7: verified users', () => {
  it('are asked for once, however many wait, and believed for a while', async () => {
    const known = users({ yesMs: 60_000 });
    await Promise.all([1, 2, 3, 4].map(() => known.check(7, signal)));
    await known.check(7, signal);
    expect(asked).toEqual(['/api/v1/status?twin_id=7']);
    const forgetful = users({ yesMs: 1 });
    await forgetful.check(7, signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await forgetful.check(7, signal);
    expect(asked).toHaveLength(3);
  });

  it('a definite no is final for a request, repeated for a moment, and asked for again after', async () => {
    answer = status('PENDING');
    const known = users({ noMs: 60_000 });
    const error = await known.check(7, signal).catch((caught: unknown) => caught);
    expect(isGridError(error, 'twin_unverified') && error.message).toBe('user with twin id 7 is not verified');
    await refusal(known.check(7, signal));
    expect(asked).toHaveLength(1);
    const forgetful = users({ noMs: 200 });
    await refusal(forgetful.check(7, signal));
    answer = status('VERIFIED');
    await expect.poll(() => refusal(forgetful.check(7, signal))).toBe('verified');
    expect(asked).toHaveLength(3);
  });

  it.each<[string, Answer]>([
    ['does not answer', () => undefined],
    ['answers drop by drop', (_request, response) => response.write('{"result":')],
    ['fails', status('VERIFIED', 500)],
    [
      'sends others elsewhere',
      (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    ],
    ['answers something else', (_request, response) => response.end('<html>')],
    ['answers no status', (_request, response) => response.end('{"result":{}}')],
    ['never ends', (_request, response) => response.end(`"${'x'.repeat(100_000)}"`)],
    ['hangs up', (request) => request.socket.destroy()],
  ])('a service that %s gives an error that may be tried again, within the limit', async (_, behaviour) => {
    answer = behaviour;
    const began = performance.now();
    const known = users({ deadlineMs: 2_000 });
    expect(await refusal(known.check(7, signal))).toBe('twin_verification_failed, again');
    expect(performance.now() - began).toBeLessThan(20_000);
    // Nothing of that is kept.
    answer = status('VERIFIED');
    await known.check(7, signal);
  });

  it('a slow answer holds nobody else, nor who leaves', async () => {
    const held: ServerResponse[] = [];
    answer = (request, response) => {
      if (request.url?.endsWith('=7') === true) held.push(response);
      else status('VERIFIED')(request, response);
    };
    const known = users({ deadlineMs: 20_000, atOnce: 2 });
    const leaving = new AbortController();
    const [left, staying] = [known.check(7, leaving.signal), known.check(7, signal)];
    await known.check(8, signal);
    leaving.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    await expect.poll(() => held.length).toBe(1);
    const more = known.check(9, signal);
    expect(await refusal(known.check(10, signal))).toBe('twin_verification_failed, again');
    await more;
    for (const response of held) response.end('{"result":{"status":"VERIFIED"}}');
    await staying;
  });

  it('are counted by what a check came to, with how long it took', async () => {
    const metrics = new DaemonMetrics('provision');
    const known = users({ yesMs: 60_000, noMs: 60_000, deadlineMs: 20_000 }, new Observed(metrics).kycCheck);
    await Promise.all([known.check(7, signal), known.check(7, signal)]);
    await known.check(7, signal);
    answer = status('PENDING');
    await refusal(known.check(8, signal));
    await refusal(known.check(8, signal));
    answer = status('VERIFIED', 500);
    await refusal(known.check(9, signal));
    answer = () => undefined;
    await refusal(known.check(10, AbortSignal.abort(new Error('left'))));
    const lines = (await metrics.registry.metrics()).split('\n');
    const counted = (name: string): string[] =>
      lines.filter((line) => line.startsWith(`${name}{`)).map((line) => line.replace(/^[^{]*/, ''));
    const wanted = [
      '{result="cached"} 2',
      '{result="left"} 1',
      '{result="ok"} 2',
      '{result="refused"} 1',
      '{result="unreachable"} 1',
    ];
    expect(counted('provision_kyc_checks_total').sort()).toEqual(wanted);
    expect(counted('provision_kyc_check_seconds_count').sort()).toEqual(wanted);
  });

  it("are in provisiond's numbers", async () => {
    const stand = await Stand.open();
    try {
      const metrics = new DaemonMetrics('provision');
      const { port } = server.address() as AddressInfo;
      answer = status('PENDING');
      await stand.startHere({ kycUrl: `http://127.0.0.1:${port}`, metrics });
      const wanted = stand.tenant.deployment(1n, [networkWorkload('net1')]);
      expect(await stand.refused(wanted)).toMatchObject({ code: 'twin_unverified' });
      expect(await metrics.registry.metrics()).toContain('provision_kyc_checks_total{result="refused"} 1');
    } finally {
      await stand.close();
    }
  });
});
