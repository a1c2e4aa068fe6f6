/** Why a text or a value in it was refused; callers turn it into their own typed error. */
export class DecodeProblem extends Error {
  readonly kind: 'size' | 'depth' | 'syntax' | 'value';
  /** Dotted path of the field, empty for the whole text. */
  readonly field: string;
  /** What was met and what is allowed, for `size` (bytes) and `depth` (levels). */
  readonly limit: { readonly found: number; readonly allowed: number } | undefined;

  constructor(kind: DecodeProblem['kind'], reason: string, field = '', limit?: DecodeProblem['limit']) {
    super(reason);
    this.kind = kind;
    this.field = field;
    this.limit = limit;
  }
}
