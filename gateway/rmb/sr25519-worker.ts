/** Worker thread: verifies batches of sr25519 signatures. */
import { parentPort } from 'node:worker_threads';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { unpackJobs } from './sr25519-batch.ts';
import { sr25519Verify, waitReady } from './wasm-crypto.ts';

const port = parentPort;
if (port === null) throw new Error('sr25519-worker runs as a worker thread only');

await waitReady();
finishStartup();
port.on('message', (batch: Uint8Array) => {
  const jobs = unpackJobs(batch);
  const verdicts = new Uint8Array(jobs.length);
  for (const [index, { account, message, signature }] of jobs.entries()) {
    try {
      verdicts[index] = sr25519Verify(signature, message, account) ? 1 : 0;
    } catch {
      // Bytes that are no point or no signature.
    }
  }
  port.postMessage(verdicts, [verdicts.buffer]);
});
