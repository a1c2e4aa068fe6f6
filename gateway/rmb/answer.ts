/** What a peer says back, and how a typed error travels in it. */
import { type GridError, reviveError } from '../../schemas/errors/index.ts';

export type Answer =
  | { readonly kind: 'response'; readonly payload: string | Uint8Array }
  | {
      readonly kind: 'error';
      /** 0 where existing clients match on the text alone. */
      readonly code: number;
      readonly message: string;
      readonly payload?: string | Uint8Array;
    };

/**
 * An error answer. Existing clients read number and text; the payload, which
 * they ignore, carries code and details for those who know the table.
 */
export function refusalAnswer(error: GridError): Answer {
  return {
    kind: 'error',
    code: error.number,
    message: error.message,
    payload: JSON.stringify({ error: { code: error.code, details: error.details } }),
  };
}

/** The typed error in an error answer's payload, `undefined` where there is none we know. */
export function readRefusal(payload: Uint8Array): GridError | undefined {
  if (payload.length === 0 || payload.length > 256 * 1024) return undefined;
  try {
    const { code, details } = JSON.parse(new TextDecoder().decode(payload)).error;
    return typeof code === 'string' ? reviveError(code, details) : undefined;
  } catch {
    return undefined;
  }
}
