/** Frames of one moment in one system call: a frame is small, and the call costs more than what it sends. */
import type { Socket } from 'node:net';

/** What is written from now to the end of this turn of the event loop leaves together. */
export function writeTogether(socket: Socket): void {
  if (socket.writableCorked > 0 || socket.destroyed) return;
  socket.cork();
  setImmediate(() => socket.uncork());
}
