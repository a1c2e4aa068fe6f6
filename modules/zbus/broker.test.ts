import { describe, expect, it } from 'vitest';
import { parseBroker } from './broker.ts';

describe('broker addresses', () => {
  it.each([
    ['unix:///var/run/redis.sock', { path: '/var/run/redis.sock' }],
    // The shipped unit of powerd: the host part is ignored, as Go does.
    ['unix://var/run/redis.sock', { path: '/run/redis.sock' }],
    ['unix:///a%20b/r.sock', { path: '/a b/r.sock' }],
    ['tcp://localhost:6379', { host: 'localhost', port: 6379 }],
    ['tcp://secret:ignored@10.0.0.1:7000', { host: '10.0.0.1', port: 7000, password: 'secret' }],
    ['tcp://[::1]:6380', { host: '::1', port: 6380 }],
  ])('%s', (url, address) => {
    expect(parseBroker(url)).toEqual(address);
  });

  it.each([
    ['redis://localhost', "unknown scheme 'redis' expecting tcp or unix"],
    ['/var/run/redis.sock', 'is not a URL; use unix:///path/to/redis.sock or tcp://host:port'],
  ])('refuses %s', (url, text) => {
    expect(() => parseBroker(url)).toThrow(text);
  });
});
