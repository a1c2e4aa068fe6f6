/** How large a message of the bus may be. A frame beyond that is refused before it is read. */
import type { Request } from './frames.ts';
import { Reader } from './reader.ts';

/** Several times the largest message of a full node; a file goes over the disk, not over the bus. */
export const FRAME_MOST_BYTES = 16 * 1024 * 1024;

const KEYS_MOST = 16;
const INPUTS_MOST = 64;
const NAME_MOST_BYTES = 512;

/**
 * Who sent a frame that is too large, and where the caller waits, read without
 * its arguments; `undefined` where the frame is not an ordinary request.
 */
export function senderOf(frame: Uint8Array): Request | undefined {
  try {
    return readSender(new Reader(frame));
  } catch {
    return undefined;
  }
}

/** Whom an answer is for that cannot be read as a whole. */
export function idOf(frame: Uint8Array): string | undefined {
  try {
    const reader = new Reader(frame);
    for (let left = Math.min(reader.mapLength(), KEYS_MOST); left > 0; left--) {
      if (name(reader) === 'ID') return name(reader);
      if (!skipFlat(reader)) return undefined;
    }
  } catch {
    // Not even that.
  }
  return undefined;
}

function readSender(reader: Reader): Request | undefined {
  const found = { ID: '', ReplyTo: '', Method: '' };
  const keys = reader.mapLength();
  if (keys > KEYS_MOST) return undefined;
  for (let left = keys; left > 0; left--) {
    const key = name(reader);
    if (key === 'ID' || key === 'ReplyTo' || key === 'Method') found[key] = name(reader);
    else if (!skipFlat(reader)) return undefined;
  }
  if (found.ID === '' || found.ReplyTo === '') return undefined;
  const object = { Name: '', Version: '' };
  return { id: found.ID, replyTo: found.ReplyTo, method: found.Method, inputs: [], object };
}

function name(reader: Reader): string {
  const bytes = reader.blob('a string');
  return bytes.length > NAME_MOST_BYTES ? '' : bytes.toString('utf8');
}

/** Passes over a value that holds at most some plain ones. */
function skipFlat(reader: Reader): boolean {
  const family = reader.family();
  if (family !== 'array' && family !== 'map') {
    reader.skip();
    return true;
  }
  const length = family === 'array' ? reader.arrayLength() : 2 * reader.mapLength();
  if (length > INPUTS_MOST) return false;
  for (let left = length; left > 0; left--) {
    if (reader.family() === 'array' || reader.family() === 'map') return false;
    reader.skip();
  }
  return true;
}
