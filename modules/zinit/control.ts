/**
 * The control socket: one command line a connection, one JSON line back, as
 * zinit has it: `{"state":"ok","body":…}` or `{"state":"error","body":"text"}`.
 */
import { rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { constants } from 'node:os';
import type { UnitStatus } from './runner.ts';
import type { Supervisor } from './supervisor.ts';
import { UnitError } from './unit.ts';

const LINE_LIMIT_BYTES = 4096;
const COMMAND_DEADLINE_MS = 120_000;

type Answer = { readonly state: 'ok'; readonly body: unknown } | { readonly state: 'error'; readonly body: string };

async function execute(supervisor: Supervisor, line: string, shutDown: () => void): Promise<unknown> {
  const [verb, name = '', extra = ''] = line.trim().split(/\s+/);
  switch (verb) {
    case 'list':
      return supervisor.list();
    case 'status':
      return supervisor.status(name);
    case 'start':
      supervisor.start(name);
      return null;
    case 'stop':
      await supervisor.stopUnit(name);
      return null;
    case 'kill': {
      const signal = extra.toUpperCase();
      if (!(signal in constants.signals)) throw new UnitError(`'${extra}' is not a signal; use SIGTERM, SIGKILL, …`);
      if (!supervisor.signal(name, signal as NodeJS.Signals))
        throw new UnitError(`unit ${name} has no running process`);
      return null;
    }
    case 'log':
      return supervisor.log(name);
    case 'shutdown':
      await supervisor.stop();
      shutDown();
      return null;
    default:
      throw new UnitError(`unknown command '${verb ?? ''}'; use list, status, start, stop, kill, log or shutdown`);
  }
}

/** Serves commands on a unix socket only its owner may open. */
export async function serveControl(supervisor: Supervisor, path: string, shutDown: () => void): Promise<Server> {
  await rm(path, { force: true });
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let line = '';
    let taken = false;
    socket.setTimeout(COMMAND_DEADLINE_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      if (taken) return;
      line += chunk.toString('utf8');
      if (line.length > LINE_LIMIT_BYTES) socket.destroy();
      else if (line.includes('\n')) {
        taken = true;
        answer(socket, execute(supervisor, line, shutDown));
      }
    });
  });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
  return server;
}

function answer(socket: Socket, result: Promise<unknown>): void {
  result
    .then<Answer, Answer>(
      (body) => ({ state: 'ok', body: body ?? null }),
      (error: unknown) => ({ state: 'error', body: (error as Error).message }),
    )
    .then((reply) => socket.end(`${JSON.stringify(reply)}\n`))
    .catch(() => socket.destroy());
}

/** What a person's command reaches the supervisor through. */
export class ZinitClient {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  list(): Promise<UnitStatus[]> {
    return this.#ask('list') as Promise<UnitStatus[]>;
  }

  status(name: string): Promise<UnitStatus> {
    return this.#ask(`status ${name}`) as Promise<UnitStatus>;
  }

  async start(name: string): Promise<void> {
    await this.#ask(`start ${name}`);
  }

  async stop(name: string): Promise<void> {
    await this.#ask(`stop ${name}`);
  }

  async kill(name: string, signal: NodeJS.Signals): Promise<void> {
    await this.#ask(`kill ${name} ${signal}`);
  }

  /** Path of the unit's log file. */
  log(name: string): Promise<string> {
    return this.#ask(`log ${name}`) as Promise<string>;
  }

  /** Stops every unit and the supervisor itself. */
  async shutdown(): Promise<void> {
    await this.#ask('shutdown');
  }

  #ask(line: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path: this.path });
      let text = '';
      socket.setTimeout(COMMAND_DEADLINE_MS, () =>
        socket.destroy(new Error(`the supervisor did not answer '${line}'`)),
      );
      socket.on('connect', () => socket.write(`${line}\n`));
      socket.on('data', (chunk) => {
        text += chunk.toString('utf8');
      });
      socket.on('error', reject);
      socket.on('close', () => {
        try {
          const reply = JSON.parse(text) as Answer;
          if (reply.state === 'ok') resolve(reply.body);
          else reject(new UnitError(reply.body));
        } catch {
          reject(new Error(`the supervisor closed the connection without an answer to '${line}'`));
        }
      });
    });
  }
}
