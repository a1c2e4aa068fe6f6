/** Who may connect: the token in the query, checked against the twin's account. */
import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import { nowSeconds } from '../rmb/envelope.ts';
import { type SignatureVerifier, VerifierBusyError } from '../rmb/signature.ts';
import { parseToken, type Token, TokenError } from '../rmb/token.ts';
import type { TwinSource } from '../rmb/twins.ts';
import type { UsedTokens } from './used-tokens.ts';

export interface Visitor {
  readonly twin: number;
  readonly session: string | undefined;
}

/** An HTTP answer instead of a connection; `body` is plain text. */
export interface Rejection {
  readonly status: number;
  readonly body: string;
}

/** The network's clients ask for 60 to 1000 s. */
const MAX_LIFETIME_SECONDS = 3600;
/** One client rounds its clock up; clocks differ by more than that. */
const MAX_AHEAD_SECONDS = 300;

export interface HandshakeTools {
  readonly twins: TwinSource;
  readonly verifier: SignatureVerifier;
  readonly log: Logger;
  /** Where each token may connect once. */
  readonly usedTokens?: UsedTokens | undefined;
}

/** The visitor of an upgrade request, or why not. The query is never logged: it is the token. */
export async function admitVisitor(request: IncomingMessage, tools: HandshakeTools): Promise<Visitor | Rejection> {
  const { headers, url = '/' } = request;
  if (headers.upgrade?.toLowerCase().includes('websocket') !== true) return { status: 404, body: 'page not found' };
  if (headers['sec-websocket-key'] === undefined || headers['sec-websocket-version'] !== '13') {
    return { status: 500, body: 'not a version 13 WebSocket handshake' };
  }
  const query = url.indexOf('?');
  if (query < 0 || query === url.length - 1) return { status: 400, body: 'missing jwt' };
  return await admitToken(url.slice(query + 1), tools, nowSeconds());
}

/** Exported for its clock: vectors have fixed times. */
export async function admitToken(text: string, tools: HandshakeTools, now: number): Promise<Visitor | Rejection> {
  let token: Token;
  try {
    token = parseToken(text);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return { status: 401, body: `invalid jwt: jwt: ${error.message}` };
  }
  const { sub, sid, iat, exp } = token.claims;
  if (now > exp) return { status: 401, body: 'invalid jwt: jwt has expired' };
  if (exp - now > MAX_LIFETIME_SECONDS) {
    return { status: 401, body: `invalid jwt: jwt lives longer than ${MAX_LIFETIME_SECONDS} s` };
  }
  if (iat - now > MAX_AHEAD_SECONDS) {
    return { status: 401, body: `invalid jwt: jwt is issued in the future, this clock says ${now}` };
  }
  try {
    // A key that fails may have changed on the chain: it is loaded anew once.
    for (const fresh of [false, true]) {
      const twin = await tools.twins.twin(sub, { fresh });
      if (twin === undefined) return { status: 401, body: `twin not found ${sub}` };
      const fault = await tools.verifier.verify(twin.account, token.signed, token.signature);
      if (fault !== undefined) continue;
      if (tools.usedTokens?.use(sub, token.signed, exp, now) === false) {
        return { status: 401, body: 'invalid jwt: jwt was used already' };
      }
      return { twin: sub, session: sid };
    }
  } catch (error) {
    if (error instanceof VerifierBusyError) return { status: 503, body: 'too many handshakes at once' };
    tools.log.error({ twin: sub, reason: (error as Error).message }, 'twin of a visitor not found out');
    return { status: 500, body: 'failed to get twin: the chain cannot be asked now' };
  }
  return { status: 401, body: 'invalid jwt: jwt: Invalid signature' };
}
