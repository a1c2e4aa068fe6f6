/** `HOST:PORT` or `[IPv6]:PORT`, where a program of the development chain listens. Throws for any other text. */
export function listenAddress(text: string): { readonly host: string; readonly port: number } {
  const [, host, port] = /^\[?(.+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) throw new Error(`--listen wants HOST:PORT, not ${text}`);
  return { host, port: Number(port) };
}
