import { describe, expect, it } from 'vitest';
import { readRelayFlags } from './flags.ts';

const read = (...args: string[]): ReturnType<typeof readRelayFlags> =>
  readRelayFlags(['--broker', 'tcp://h:1', ...args]);

describe('flags of the relay', () => {
  it('have defaults: limits on, federation off', () => {
    expect(read()).toMatchObject({
      host: '127.0.0.1',
      port: 8380,
      domains: ['localhost'],
      twinLimits: { count: 600_000, bytes: 1024 ** 3 },
      maxSessions: 10_000,
      singleUseTokens: false,
      federation: undefined,
    });
    expect(readRelayFlags(['--state', '/x']).broker).toBe('unix:///x/redis.sock');
  });

  it('are read', () => {
    const flags = read(
      ...['--listen', '[::]:8080', '--domain', 'a.example', '--domain', 'b.example', '--limit', '10', '1000'],
      ...['--federate', '--federation-port', '8443', '--federation-route', 'C.example=https://10.1.1.1:1'],
      ...[
        '--federation-allow',
        '10.0.0.0/8',
        '--proxy',
        '127.0.0.1/32',
        '--queue-bytes',
        '1000',
        '--single-use-tokens',
      ],
    );
    expect(flags).toMatchObject({
      host: '::',
      port: 8080,
      domains: ['a.example', 'b.example'],
      twinLimits: { count: 10, bytes: 1000 },
      queueLimits: { totalBytes: 1000, twinBytes: 1000 },
      singleUseTokens: true,
      federation: { port: 8443, allowed: ['10.0.0.0/8'], proxies: ['127.0.0.1/32'] },
    });
    expect(flags.federation?.routes?.get('c.example')?.host).toBe('10.1.1.1:1');
    expect(read('--no-limit').twinLimits).toBe('none');
  });

  it('that make no sense are named', () => {
    const table: [args: string[], text: RegExp][] = [
      [['--limit', '10'], /--limit COUNT BYTES/],
      [['--limit', '0', '10'], /--limit 0 is not a number above 0/],
      [['--limit', '10', '10', '10'], /--limit COUNT BYTES/],
      [['stray'], /nothing else stands without a flag/],
      [['--listen', 'nowhere'], /--listen nowhere is not HOST:PORT/],
      [['--federation-route', 'x'], /--federation-route x is not NAME=URL/],
      [['--unknown'], /unknown/i],
    ];
    for (const [args, text] of table) expect(() => read(...args)).toThrow(text);
    expect(() => readRelayFlags([])).toThrow(/--broker URL or --state DIR/);
  });
});
