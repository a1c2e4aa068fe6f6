/** One reply list for all calls of a client: one blocking reader, answers told apart by id. */
import { randomUUID } from 'node:crypto';
import { type BrokerAddress, type BusLog, closeConnection, pause, whenReady } from './broker.ts';
import { ZbusError } from './errors.ts';
import { decodeResponse, type Response } from './frames.ts';
import { FRAME_MOST_BYTES, idOf } from './limits.ts';
import { claim, type Line, openLine } from './line.ts';
import type { Reply } from './resp.ts';

const POP_SECONDS = 10;
const POP_MOST = 256;
/** How long the broker may be gone before calls under way are given up. */
const OUTAGE_MS = 5_000;
/** Many calls ask once together; one that is made in between ends with those before when the broker was emptied. */
const LOOK_AGAIN_MS = 250;

/** A call whose answer has not come. */
export interface Waiting {
  readonly answer: Promise<Response>;
  readonly settled: boolean;
  reject(error: ZbusError): void;
}

interface Entry extends Waiting {
  settled: boolean;
  generation: number;
  /** Monotonic milliseconds. */
  readonly since: number;
  resolve(response: Response): void;
}

/** @throws ZbusError `protocol` */
export function readResponse(frame: Buffer): Response {
  try {
    if (frame.length <= FRAME_MOST_BYTES) return decodeResponse(frame);
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new ZbusError('protocol', `the answer cannot be read (${reason}); what the call did is unknown`, { cause });
  }
  throw new ZbusError(
    'protocol',
    `the answer has ${frame.length} bytes, more than the ${FRAME_MOST_BYTES} of a message of the bus;` +
      ' what the call did is unknown',
  );
}

export class Replies {
  /** Where answers to this client go. */
  readonly list = randomUUID();
  readonly #address: BrokerAddress;
  readonly #log: BusLog;
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new AbortController();
  #reader: Line | undefined;
  #manyAtOnce = true;
  #reading = false;
  /** Counts losses of the connection: calls of an earlier one may be lost with the broker. */
  #generation = 0;
  /** The generation whose predecessors are ended; the first has none. */
  #claimed = 0;
  #runId: string | undefined;
  /** How often the broker was emptied since it runs, as far as is known. */
  #emptied: number | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #outage: NodeJS.Timeout | undefined;

  constructor(address: BrokerAddress, log: BusLog) {
    this.#address = address;
    this.#log = log;
  }

  expect(id: string): Waiting {
    const reader = this.#reader ?? this.#start();
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    // Settled possibly before anybody awaits it.
    promise.catch(() => undefined);
    const entry: Entry = {
      answer: promise,
      settled: false,
      generation: this.#generation,
      since: performance.now(),
      resolve: (response) => {
        entry.settled = true;
        resolve(response);
      },
      reject: (error) => {
        entry.settled = true;
        reject(error);
      },
    };
    this.#entries.set(id, entry);
    this.#read(reader);
    return entry;
  }

  /** Sends a call on the connection that is about to wait for its answer, or on `other` when it waits already. */
  push(other: Line, queue: string, payload: Uint8Array): Promise<Reply> {
    const line = this.#reader?.idle === true ? this.#reader : other;
    return line.push(queue, payload);
  }

  forget(id: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.settled = true;
    this.#entries.delete(id);
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#outage);
    closeConnection(this.#reader);
    this.#rejectAll(() => new ZbusError('cancelled', 'this bus client was closed while the call was under way'));
  }

  #start(): Line {
    const reader = openLine(this.#address, 'replies', this.#log);
    this.#reader = reader;
    reader.on('ready', () => {
      this.#onReady(reader).catch((error: unknown) => this.#log.debug({ reason: String(error) }, 'broker not known'));
    });
    reader.on('close', () => this.#onClose());
    return reader;
  }

  #onClose(): void {
    if (this.#closing.signal.aborted) return;
    this.#generation++;
    this.#outage ??= setTimeout(() => {
      this.#outage = undefined;
      this.#rejectAll(
        () => new ZbusError('bus_lost', 'the broker was lost and did not return; the call may or may not have run'),
      );
    }, OUTAGE_MS);
  }

  /** A broker with another run id has forgotten the calls and answers it held. */
  async #onReady(reader: Line): Promise<void> {
    clearTimeout(this.#outage);
    this.#outage = undefined;
    const generation = this.#generation;
    const [info, statistics] = await Promise.all([
      reader.send('INFO', 'server').catch(() => ''),
      reader.send('INFO', 'commandstats').catch(() => undefined),
      reader.send('CLIENT', 'SETNAME', this.list).catch(() => ''),
    ]);
    const runId = /run_id:(\w+)/.exec(String(info))?.[1];
    const emptied = emptiedOf(statistics);
    // Of the broker before nothing is left to compare with; of this one it is found out by the next look.
    if (this.#runId !== runId || this.#emptied === undefined) this.#emptied = emptied;
    if (runId === undefined) return;
    const restarted = this.#runId !== undefined && this.#runId !== runId;
    this.#runId = runId;
    if (!restarted) return;
    this.#rejectAll(
      () => new ZbusError('bus_lost', 'the broker was restarted and forgot the call; it may or may not have run'),
      generation,
    );
  }

  /**
   * Ends the calls that waited when the broker was emptied: nobody takes those that lay there, and answers that did
   * do not come. `line` is one on which nothing blocks.
   */
  async look(line: Line): Promise<void> {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return;
    this.#lookedAt = now;
    const [known, runId] = [this.#emptied, this.#runId];
    const emptied = emptiedOf(await line.send('INFO', 'commandstats'));
    // Another broker by now, of which the reader has heard itself.
    if (emptied === undefined || this.#runId !== runId || this.#emptied !== known) return;
    this.#emptied = emptied;
    if (known === undefined || emptied <= known) return;
    this.#log.warn({ emptied }, 'the broker was emptied');
    for (const entry of this.#entries.values()) {
      if (entry.settled || entry.since >= now) continue;
      entry.reject(new ZbusError('bus_lost', 'the broker was emptied and forgot the call; it may or may not have run'));
    }
  }

  #rejectAll(error: () => ZbusError, before = Number.POSITIVE_INFINITY): void {
    for (const entry of this.#entries.values()) if (entry.generation < before) entry.reject(error());
  }

  /** Waits for answers while any is expected. The command leaves behind the calls of this turn, in one write. */
  #read(reader: Line): void {
    if (this.#reading || this.#entries.size === 0 || this.#closing.signal.aborted) return;
    this.#reading = true;
    this.#readOnce(reader)
      .catch((error: unknown) => this.#log.error({ err: error }, 'reading replies failed'))
      .finally(() => {
        this.#reading = false;
        this.#read(reader);
      });
  }

  async #readOnce(reader: Line): Promise<void> {
    const { signal } = this.#closing;
    try {
      if (reader.status !== 'ready') await whenReady(reader, OUTAGE_MS, signal);
      if (this.#claimed !== this.#generation) await this.#claim(reader);
      for (const frame of await this.#pop(reader)) this.#deliver(frame);
    } catch (error) {
      if (signal.aborted) return;
      this.#log.debug({ reason: String(error) }, 'reading replies failed');
      await pause(50, signal);
    }
  }

  /** What the broker would give to the lost connection before this one comes to this one. */
  async #claim(reader: Line): Promise<void> {
    const generation = this.#generation;
    await claim(reader, this.list);
    this.#claimed = generation;
  }

  async #pop(reader: Line): Promise<Buffer[]> {
    if (this.#manyAtOnce) {
      try {
        const found = await reader.sendLast('BLMPOP', POP_SECONDS, 1, this.list, 'LEFT', 'COUNT', POP_MOST);
        return found === null ? [] : ((found as [Buffer, Buffer[]])[1] ?? []);
      } catch (error) {
        if (!String(error).includes('unknown command')) throw error;
        this.#manyAtOnce = false;
      }
    }
    const found = await reader.sendLast('BLPOP', this.list, POP_SECONDS);
    return found === null ? [] : [(found as [Buffer, Buffer])[1]];
  }

  #deliver(frame: Buffer): void {
    let response: Response;
    try {
      response = readResponse(frame);
    } catch (error) {
      const id = idOf(frame);
      const asked = id === undefined ? undefined : this.#entries.get(id);
      if (asked !== undefined) asked.reject(error as ZbusError);
      else this.#log.warn({ err: error, bytes: frame.length }, 'an answer cannot be read and is dropped');
      return;
    }
    const entry = this.#entries.get(response.id);
    if (entry === undefined) this.#log.debug({ id: response.id }, 'an answer came after its call was given up');
    else entry.resolve(response);
  }
}

/** Undefined for a broker that does not tell. */
function emptiedOf(statistics: Reply | undefined): number | undefined {
  const text = String(statistics ?? '');
  if (!text.includes('cmdstat_')) return undefined;
  return [...text.matchAll(/^cmdstat_flush(?:all|db):calls=(\d+)/gm)].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0,
  );
}
