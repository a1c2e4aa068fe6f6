/** What the chain library prints on the console, as log lines of ours. */

/** Prefixes of its loggers, as `API-WS` or `RPC-CORE`. */
const LIBRARY_PREFIX = /^\s*(API|RPC|REGISTRY|VEC|PORTABLEREGISTRY|METADATA|DRR)\b/;

/**
 * Gives lines of the library to `sink` instead of the console. Everything it
 * tells reaches callers as typed errors too, so nothing is lost by a quiet sink.
 */
export function redirectLibraryLog(sink: (line: string) => void = () => undefined): void {
  for (const level of ['warn', 'error', 'log'] as const) {
    const original = console[level].bind(console);
    console[level] = (...parts: unknown[]): void => {
      if (typeof parts[1] === 'string' && LIBRARY_PREFIX.test(parts[1]))
        sink(parts.slice(1).map(String).join(' ').trim());
      else original(...parts);
    };
  }
}
