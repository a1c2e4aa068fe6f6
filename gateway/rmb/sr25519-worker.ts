/** Worker thread: verifies batches of sr25519 signatures. */
import { parentPort } from 'node:worker_threads';
import { finishStartup } from '../../modules/zbus/startup.ts';
import { Sr25519Verifier } from './sr25519/verifier.ts';
import { unpackJobs } from './sr25519-batch.ts';
import { waitReady } from './wasm-crypto.ts';

const port = parentPort;
if (port === null) throw new Error('sr25519-worker runs as a worker thread only');

await waitReady();
const verifier = new Sr25519Verifier();
finishStartup();
port.on('message', (batch: Uint8Array) => {
  const jobs = unpackJobs(batch);
  const verdicts = new Uint8Array(jobs.length);
  for (const [index, { account, message, signature }] of jobs.entries()) {
    verdicts[index] = verifier.verify(account, message, signature) ? 1 : 0;
  }
  port.postMessage(verdicts, [verdicts.buffer]);
});
