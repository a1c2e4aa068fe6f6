import { createServer, request } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { pino } from 'pino';
import { Counter, Registry } from 'prom-client';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ZbusClient } from '../../modules/zbus/client.ts';
import { ZbusServer } from '../../modules/zbus/server.ts';
import { startRedis } from '../../modules/zbus/testing/redis.ts';
import { Health, type Problem } from './health.ts';
import { HttpServer, parseListenAddress } from './server.ts';

const log = pino({ level: 'silent' });
const ends: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(problems: () => Promise<readonly Problem[]>, registry = new Registry()): Promise<number> {
  const server = new HttpServer({ metrics: () => registry.metrics(), problems, log });
  ends.push(() => server.close());
  return await server.listen({ host: '127.0.0.1', port: 0 });
}

const well = async (): Promise<readonly Problem[]> => [];

describe('the page of numbers and health', () => {
  it('shows the registry in the text format', async () => {
    const registry = new Registry();
    new Counter({ name: 'seen_total', help: 'seen', registers: [registry] }).inc(3);
    const port = await serve(well, registry);
    const response = await fetch(`http://127.0.0.1:${port}/metrics?x=1`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toContain('\nseen_total 3\n');
  });

  it('says what is wrong, and stays up when the asking itself fails', async () => {
    let problems: () => Promise<readonly Problem[]> = well;
    const port = await serve(() => problems());
    const ask = async (): Promise<[number, unknown]> => {
      const response = await fetch(`http://127.0.0.1:${port}/health`);
      return [response.status, await response.json()];
    };
    expect(await ask()).toEqual([200, { healthy: true }]);
    const problem = { part: 'relay', reason: 'no relay is connected' } as const;
    problems = async () => [problem];
    expect(await ask()).toEqual([503, { healthy: false, problems: [problem] }]);
    problems = () => Promise.reject(new Error('secret of the inside'));
    expect(await ask()).toEqual([500, { reason: 'the page could not be made' }]);
    problems = () => new Promise(() => undefined);
    expect(await ask()).toEqual([503, { reason: 'no answer in time' }]);
  });

  it.each([
    ['GET', '/'],
    ['GET', '/metrics/'],
    ['GET', '/../metrics'],
    ['GET', '//metrics'],
    ['POST', '/metrics'],
    ['DELETE', '/health'],
    ['OPTIONS', '*'],
  ])('knows no %s %s', async (method, path) => {
    const port = await serve(well);
    const status = await new Promise((resolve, reject) => {
      const asked = request({ port, host: '127.0.0.1', method, path }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.on('error', reject).end();
    });
    expect(status).toBe(404);
  });

  it('holds no more connections than its bound, and none that say nothing', { timeout: 60_000 }, async () => {
    const port = await serve(well);
    let closed = 0;
    const told = new Set<Socket>();
    const silent = Array.from({ length: 50 }, () => {
      const socket = connect(port, '127.0.0.1');
      ends.push(() => socket.destroy());
      socket.on('close', () => {
        closed += 1;
      });
      socket.on('error', () => undefined);
      socket.on('connect', () => socket.write('GET /health HTTP/1.1\r\n'));
      socket.on('data', () => told.add(socket));
      return socket;
    });
    await expect.poll(() => closed).toBe(silent.length);
    // Who came in hears that its time is over; who found no place hears nothing.
    expect(told.size).toBe(32);
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
  });

  it('refuses headers beyond its bound', async () => {
    const port = await serve(well);
    const response = await fetch(`http://127.0.0.1:${port}/health`, { headers: { long: 'x'.repeat(20_000) } });
    expect(response.status).toBe(431);
  });

  it('reports a port that is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    ends.push(() => other.close());
    const server = new HttpServer({ metrics: () => new Registry().metrics(), problems: well, log });
    const { port } = other.address() as AddressInfo;
    await expect(server.listen({ host: '127.0.0.1', port })).rejects.toThrow('EADDRINUSE');
    await server.close();
  });

  it('reads addresses', () => {
    expect(parseListenAddress('127.0.0.1:8781')).toEqual({ host: '127.0.0.1', port: 8781 });
    expect(parseListenAddress('[::1]:80')).toEqual({ host: '::1', port: 80 });
    for (const bad of ['8781', ':8781', '::1:80', '[::1]', 'localhost:', 'a:70000', 'http://a:1']) {
      expect(() => parseListenAddress(bad)).toThrow(`gateway: --http ${bad} is not HOST:PORT`);
    }
  });
});

describe('health', () => {
  it('follows relay and bus, and asks the bus once for many', { timeout: 90_000 }, async () => {
    const redis = await startRedis();
    ends.push(() => redis.stop());
    const bus = new ZbusClient({ broker: redis.broker });
    ends.push(() => bus.close());
    const asked = vi.spyOn(bus, 'status');
    let connected: boolean | undefined;
    const health = new Health({ bus, module: 'rmb-gateway', relayConnected: () => connected });
    const parts = async (): Promise<string[]> => (await health.problems()).map(({ part }) => part);
    expect(await parts()).toEqual(['startup', 'bus']);
    const server = new ZbusServer({ module: 'rmb-gateway', broker: redis.broker, log });
    await server.start();
    ends.push(() => server.stop());
    connected = true;
    await expect.poll(parts, { timeout: 20_000 }).toEqual([]);
    connected = false;
    expect(await parts()).toEqual(['relay']);
    connected = true;
    await redis.stop();
    await expect.poll(parts, { timeout: 20_000 }).toEqual(['bus']);
    asked.mockClear();
    await Promise.all(Array.from({ length: 500 }, () => health.problems()));
    expect(asked.mock.calls.length).toBeLessThanOrEqual(1);
  });
});
