/** Splits a command line into words as a POSIX shell would, without running one. */

/**
 * Quotes and backslashes group; nothing is expanded. Throws on an open quote.
 * Source of the rule: zinit splits `exec` and `test` this way.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: '"' | "'" | undefined;
  for (let i = 0; i < line.length; i++) {
    const char = line.charAt(i);
    if (quote === undefined) {
      if (/\s/.test(char)) {
        if (word !== undefined) words.push(word);
        word = undefined;
      } else if (char === '"' || char === "'") {
        quote = char;
        word ??= '';
      } else if (char === '\\') {
        i++;
        word = (word ?? '') + line.charAt(i);
      } else {
        word = (word ?? '') + char;
      }
    } else if (char === quote) {
      quote = undefined;
    } else if (char === '\\' && quote === '"' && '"\\$`'.includes(line.charAt(i + 1))) {
      i++;
      word += line.charAt(i);
    } else {
      word += char;
    }
  }
  if (quote !== undefined) throw new Error(`no closing ${quote} in: ${line}`);
  if (word !== undefined) words.push(word);
  return words;
}

/** The word as `splitWords` reads it back. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
