import { describe, expect, it } from 'vitest';
import { parseUrl, splitHostPort } from './urls.ts';

describe('parseUrl', () => {
  it.each([
    ['http://10.1.1.2:8000/a?b#c', 'http', '10.1.1.2'],
    ['HTTP://10.1.1.2', 'http', '10.1.1.2'],
    ['http://[fd00::1]:80', 'http', 'fd00::1'],
    ['http://user:pass@10.1.1.2', 'http', '10.1.1.2'],
    ['http://10.1.1.2:', 'http', '10.1.1.2'],
    ['redis:opaque', 'redis', ''],
    ['ws:///path', 'ws', ''],
    ['', '', ''],
    ['//host/a', '', 'host'],
    ['host/a:b', '', ''],
  ])('reads %j', (text, scheme, hostname) => {
    expect(parseUrl(text)).toEqual({ scheme, hostname });
  });

  it.each([
    ['10.1.1.2:80', 'first path segment in URL cannot contain colon'],
    [':80', 'missing protocol scheme'],
    ['http://a\n', 'net/url: invalid control character in URL'],
    ['http://[fd00::1', "missing ']' in host"],
    ['http://10.1.1.2:x', 'invalid port ":x" after host'],
    ['http://a b', 'invalid character " " in host name'],
    ['http://a/%zz', 'invalid URL escape "%zz"'],
  ])('refuses %j', (text, problem) => {
    expect(parseUrl(text).problem).toBe(`parse ${JSON.stringify(text)}: ${problem}`);
  });
});

describe('splitHostPort', () => {
  it.each([
    ['1.2.3.4:80', '1.2.3.4', '80'],
    ['[::1]:80', '::1', '80'],
    [':80', '', '80'],
    ['host:', 'host', ''],
  ])('reads %j', (text, host, port) => {
    expect(splitHostPort(text)).toEqual({ host, port });
  });

  it.each([
    ['1.2.3.4', 'missing port in address'],
    ['::1:80', 'too many colons in address'],
    ['[::1]', 'missing port in address'],
    ['[::1]80:1', 'missing port in address'],
    ['[::1:80', "missing ']' in address"],
    ['a]:80', "unexpected ']' in address"],
    ['[[::1]:80', "unexpected '[' in address"],
  ])('refuses %j', (text, problem) => {
    expect(splitHostPort(text).problem).toBe(`address ${text}: ${problem}`);
  });
});
