/** The wire between one process and the broker, to be cut, turned deaf or silenced for ever. */
import { rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';

export class Line {
  readonly broker: string;
  readonly #path: string;
  readonly #target: string;
  readonly #server: Server;
  readonly #near = new Set<Socket>();
  readonly #far = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #dead = false;

  private constructor(path: string, target: string) {
    this.#path = path;
    this.#target = target;
    this.broker = `unix://${path}`;
    this.#server = createServer((near) => this.#join(near));
  }

  static async open(path: string, target: string): Promise<Line> {
    const line = new Line(path, target);
    await new Promise<void>((resolve, reject) => {
      line.#server.once('error', reject);
      line.#server.listen(path, resolve);
    });
    return line;
  }

  /** Connections end at both sides at once. */
  cut(): void {
    for (const socket of [...this.#near, ...this.#far]) socket.destroy();
  }

  /** The broker still hears and acts for some milliseconds, but nothing it says arrives; then the connections end. */
  deafen(milliseconds: number): void {
    const far = [...this.#far];
    for (const socket of far) socket.pause();
    const near = [...this.#near];
    this.#later(milliseconds, () => {
      for (const socket of [...near, ...far]) socket.destroy();
    });
  }

  /** The process sees its connections end; the broker keeps them for some milliseconds. */
  orphan(milliseconds: number): void {
    const far = [...this.#far];
    for (const socket of far) {
      socket.removeAllListeners('data');
      socket.resume();
    }
    for (const socket of this.#near) {
      socket.removeAllListeners('close');
      this.#near.delete(socket);
      socket.destroy();
    }
    this.#later(milliseconds, () => {
      for (const socket of far) socket.destroy();
    });
  }

  /** What a killed process is to the broker: nothing comes through any more. */
  kill(): void {
    this.#dead = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.cut();
  }

  async close(): Promise<void> {
    this.kill();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#path, { force: true });
  }

  #later(milliseconds: number, work: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      work();
    }, milliseconds);
    this.#timers.add(timer);
  }

  #join(near: Socket): void {
    if (this.#dead) {
      near.destroy();
      return;
    }
    const far = createConnection(this.#target);
    this.#near.add(near);
    this.#far.add(far);
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => near.write(bytes));
    near.on('close', () => {
      this.#near.delete(near);
      far.destroy();
    });
    far.on('close', () => {
      this.#far.delete(far);
      near.destroy();
    });
  }
}
