/** Worker thread: verifies batches of sr25519 signatures. */
import { parentPort } from 'node:worker_threads';
import { finishStartup } from '../../modules/zbus/startup.ts';
import type { Sr25519Batch, Sr25519Verdicts } from './sr25519-pool.ts';
import { sr25519Verify, waitReady } from './wasm-crypto.ts';

const port = parentPort;
if (port === null) throw new Error('sr25519-worker runs as a worker thread only');

await waitReady();
finishStartup();
port.on('message', (batch: Sr25519Batch) => {
  const verdicts: Sr25519Verdicts = batch.map(({ id, account, message, signature }) => {
    try {
      return { id, valid: sr25519Verify(signature, message, account) };
    } catch {
      // Bytes that are no point or no signature.
      return { id, valid: false };
    }
  });
  port.postMessage(verdicts);
});
