/** Client of QEMU's machine protocol: JSON lines over a unix socket, a deadline for every command. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { GridError } from '../../../schemas/errors/index.ts';

/** Bytes of one answer; longer lines end the connection. */
const LINE_LIMIT = 4 * 1024 * 1024;
const CONNECT_RETRY_MS = 5;

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Qmp {
  /** Settles when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #onEvent: (event: QmpEvent) => void;
  #next = 1;
  #rest = '';
  #greeted: (() => void) | undefined;

  private constructor(socket: Socket, onEvent: (event: QmpEvent) => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', () => socket.destroy());
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        for (const { reject } of this.#pending.values()) reject(new Error('the connection to QEMU has ended'));
        this.#pending.clear();
        resolve();
      });
    });
  }

  /**
   * Connects, tries again while QEMU is starting, and leaves negotiation mode.
   * `giveUp` ends the attempts early, as when the process has died. Throws
   * `machine_control_failed`.
   */
  static async connect(
    path: string,
    options: {
      readonly deadlineMs: number;
      readonly onEvent: (event: QmpEvent) => void;
      readonly giveUp?: () => boolean;
    },
  ): Promise<Qmp> {
    const deadline = performance.now() + options.deadlineMs;
    for (;;) {
      const socket = await open(path);
      if (socket !== undefined) return Qmp.#negotiate(socket, options.onEvent, deadline - performance.now());
      const ended = options.giveUp?.() === true;
      if (ended || performance.now() >= deadline) {
        const reason = ended ? 'QEMU has ended' : `no answer on its socket within ${options.deadlineMs} ms`;
        throw new GridError('machine_control_failed', { command: 'connect', reason });
      }
      await sleep(CONNECT_RETRY_MS);
    }
  }

  static async #negotiate(socket: Socket, onEvent: (event: QmpEvent) => void, deadlineMs: number): Promise<Qmp> {
    const qmp = new Qmp(socket, onEvent);
    try {
      await withDeadline(
        new Promise<void>((resolve, reject) => {
          qmp.#greeted = resolve;
          qmp.closed.then(
            () => reject(new Error('the connection to QEMU has ended')),
            () => undefined,
          );
        }),
        'greeting',
        Math.max(deadlineMs, 100),
      );
      await qmp.command('qmp_capabilities', {}, Math.max(deadlineMs, 100));
      return qmp;
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  /** Runs one command; its `return` value. Throws `machine_control_failed`. */
  async command(name: string, args: Readonly<Record<string, unknown>>, deadlineMs: number): Promise<unknown> {
    const id = this.#next;
    this.#next += 1;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      if (this.#socket.destroyed) reject(new Error('the connection to QEMU has ended'));
      else this.#socket.write(`${JSON.stringify({ execute: name, arguments: args, id })}\n`);
    });
    try {
      return await withDeadline(answer, name, deadlineMs);
    } finally {
      this.#pending.delete(id);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#rest += text;
    if (this.#rest.length > LINE_LIMIT) {
      this.#socket.destroy();
      return;
    }
    const lines = this.#rest.split('\n');
    this.#rest = lines.pop() ?? '';
    try {
      for (const line of lines) {
        const message = parse(line);
        if (message !== undefined) this.#dispatch(message);
      }
    } catch {
      // A guest that took its QEMU over may say anything; it ends its own connection, not this process.
      this.#socket.destroy();
    }
  }

  #dispatch(message: Readonly<Record<string, unknown>>): void {
    if ('QMP' in message) this.#greeted?.();
    else if (typeof message.event === 'string') {
      this.#onEvent({ event: message.event, data: (message.data ?? {}) as Record<string, unknown> });
    } else if (typeof message.id === 'number') {
      const pending = this.#pending.get(message.id);
      if ('error' in message) {
        const error = message.error as { readonly desc?: string };
        pending?.reject(new Error(error.desc ?? 'unknown error'));
      } else pending?.resolve(message.return);
    }
  }
}

function open(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', () => {
      socket.destroy();
      resolve(undefined);
    });
  });
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

async function withDeadline<T>(work: Promise<T>, command: string, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${Math.round(deadlineMs)} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    throw new GridError('machine_control_failed', { command, reason: (error as Error).message }, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
