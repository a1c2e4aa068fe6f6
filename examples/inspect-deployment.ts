/**
 * What a node computes of a deployment before it asks anybody: its hash and
 * what it needs. Offline; run: node examples/inspect-deployment.ts FILE
 */
import { readFileSync } from 'node:fs';
import { deploymentHash, deploymentNeeds, GridError, parseDeployment, validateDeployment } from '../schemas/index.ts';

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: node examples/inspect-deployment.ts FILE');
try {
  const deployment = parseDeployment(readFileSync(file));
  validateDeployment(deployment);
  console.log(JSON.stringify({ hash: deploymentHash(deployment), needs: deploymentNeeds(deployment) }, null, 2));
} catch (error) {
  if (!(error instanceof GridError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
}
