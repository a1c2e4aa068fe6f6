/** URLs and `host:port` texts told apart as Go's `net/url` and `net` do, as far as rules of workloads look. */

export interface Url {
  /** Lower case, empty if there is none. */
  readonly scheme: string;
  /** Without brackets and port; empty if there is none. */
  readonly hostname: string;
  /** Go's complaint about the text, if it has one. */
  readonly problem?: string;
}

/** Go's `url.Parse`: scheme and host, or why there are none. */
export function parseUrl(text: string): Url {
  const refuse = (problem: string): Url => {
    return { scheme: '', hostname: '', problem: `parse ${JSON.stringify(text.slice(0, 256))}: ${problem}` };
  };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) return refuse('net/url: invalid control character in URL');
  const whole = before(text, '#');
  if (whole === '') return { scheme: '', hostname: '' };
  if (whole.startsWith(':')) return refuse('missing protocol scheme');
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(whole)?.[1] ?? '';
  const rest = before(scheme === '' ? whole : whole.slice(scheme.length + 1), '?');
  if (!rest.startsWith('/')) {
    if (scheme !== '') return { scheme: scheme.toLowerCase(), hostname: '' };
    if (before(rest, '/').includes(':')) return refuse('first path segment in URL cannot contain colon');
  }
  const hasHost = rest.startsWith('//') && (scheme !== '' || !rest.startsWith('///'));
  const authority = hasHost ? before(rest.slice(2), '/') : '';
  const path = hasHost ? rest.slice(2 + authority.length) : rest;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const problem = hostProblem(host) ?? escapeProblem(path);
  return problem === undefined ? { scheme: scheme.toLowerCase(), hostname: withoutPort(host) } : refuse(problem);
}

function hostProblem(host: string): string | undefined {
  const end = host.lastIndexOf(']');
  if (host.startsWith('[') && end < 0) return "missing ']' in host";
  const colon = host.startsWith('[') ? end + 1 : host.lastIndexOf(':');
  const port = colon < 0 ? '' : host.slice(colon);
  if (!/^(:\d*)?$/.test(port)) return `invalid port ${JSON.stringify(port.slice(0, 64))} after host`;
  const bad = /[\s"<>^`{|}\\]/.exec(host);
  return bad === null ? undefined : `invalid character ${JSON.stringify(bad[0])} in host name`;
}

function escapeProblem(path: string): string | undefined {
  const at = path.search(/%(?![0-9a-fA-F]{2})/);
  return at < 0 ? undefined : `invalid URL escape ${JSON.stringify(path.slice(at, at + 3))}`;
}

function withoutPort(host: string): string {
  if (host.startsWith('[')) return host.slice(1, host.lastIndexOf(']'));
  const colon = host.indexOf(':');
  return colon < 0 ? host : host.slice(0, colon);
}

/** Go's `net.SplitHostPort`. */
export function splitHostPort(text: string): { host: string; port: string; problem?: string } {
  const refuse = (problem: string) => ({ host: '', port: '', problem: `address ${text.slice(0, 256)}: ${problem}` });
  const colon = text.lastIndexOf(':');
  if (colon < 0) return refuse('missing port in address');
  if (!text.startsWith('[')) {
    const host = text.slice(0, colon);
    if (host.includes(':')) return refuse('too many colons in address');
    if (/[[\]]/.test(text)) return refuse(`unexpected '${text.includes('[') ? '[' : ']'}' in address`);
    return { host, port: text.slice(colon + 1) };
  }
  const end = text.indexOf(']');
  if (end < 0) return refuse("missing ']' in address");
  if (end + 1 === text.length) return refuse('missing port in address');
  if (end + 1 !== colon) {
    return refuse(text.charAt(end + 1) === ':' ? 'too many colons in address' : 'missing port in address');
  }
  if (text.lastIndexOf('[') > 0) return refuse("unexpected '[' in address");
  if (text.includes(']', end + 1)) return refuse("unexpected ']' in address");
  return { host: text.slice(1, end), port: text.slice(colon + 1) };
}

function before(text: string, mark: string): string {
  const at = text.indexOf(mark);
  return at < 0 ? text : text.slice(0, at);
}
