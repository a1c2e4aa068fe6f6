import { describe, expect, it } from 'vitest';
import { BrokerRefusal, type Reply, ReplyReader } from './resp.ts';

function read(text: string | Buffer, pieces: number): Reply[] {
  const bytes = Buffer.from(text as string);
  const reader = new ReplyReader();
  const replies: Reply[] = [];
  for (let at = 0; at < bytes.length; at += pieces) {
    reader.feed(bytes.subarray(at, at + pieces), (reply) => replies.push(reply));
  }
  return replies;
}

const WIRE =
  '+OK\r\n:-12\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n-OOM no room\r\n*2\r\n$4\r\nlist\r\n*2\r\n$1\r\nx\r\n:9007199254740991\r\n';

describe('replies of the broker', () => {
  it.each([1, 2, 3, 7, 16, 1000])('are the same in pieces of %i bytes', (pieces) => {
    const replies = read(WIRE, pieces);
    expect(replies.map((reply) => (reply instanceof BrokerRefusal ? `refused: ${reply.message}` : reply))).toEqual([
      'OK',
      -12,
      Buffer.from('a\r\nbc'),
      Buffer.alloc(0),
      null,
      null,
      [],
      'refused: OOM no room',
      [Buffer.from('list'), [Buffer.from('x'), 9007199254740991]],
    ]);
  });

  it('of many megabytes come whole from small pieces', () => {
    const value = Buffer.alloc(8 * 1024 * 1024, 'gridnode');
    const wire = Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n+OK\r\n')]);
    const [found, next] = read(wire, 16_000);
    expect(value.equals(found as Buffer)).toBe(true);
    expect(next).toBe('OK');
  });

  it.each([
    ['what is no reply', 'HTTP/1.1 400\r\n'],
    ['a length that is none', '$1x\r\n'],
    ['a line that does not end as one', ':1\n'],
    ['a line without an end', `+${'a'.repeat(70_000)}`],
    ['a value no broker holds', '$99999999999\r\n'],
    ['arrays without end', '*1\r\n'.repeat(20)],
  ])('refuse %s', (_what, wire) => {
    expect(() => read(wire, 10_000)).toThrow(/broker/);
  });
});
