/** Shell words: how the seed quotes values, how an entrypoint is split. */

/** A value inside single quotes, as POSIX shells read it back unchanged. */
export function shellQuote(value: string): string {
  return `'${value.replaceAll("'", `'"'"'`)}'`;
}

/** Thrown for a command line whose quotes or escapes do not end. */
export class ShellWordError extends Error {
  override readonly name = 'ShellWordError';
}

/**
 * Splits a command line the way a POSIX shell would: spaces, both kinds of
 * quotes, backslash, `#` comments; nothing is expanded.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  const quoted = (end: string): void => {
    at += 1;
    word ??= '';
    for (; at < line.length && line[at] !== end; at += 1) {
      if (end === '"' && line[at] === '\\' && '"\\'.includes(line[at + 1] ?? ' ')) at += 1;
      word += line[at];
    }
    if (at >= line.length) throw new ShellWordError(`a quote ${end} has no end`);
  };
  for (; at < line.length; at += 1) {
    const character = line[at] as string;
    if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === "'" || character === '"') {
      quoted(character);
    } else if (character === '\\') {
      at += 1;
      if (at >= line.length) throw new ShellWordError('a backslash ends the line');
      word = (word ?? '') + line[at];
    } else if (character === '#' && word === undefined) {
      const end = line.indexOf('\n', at);
      at = end === -1 ? line.length : end;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}
