import { type Command, readFlags } from '../command.ts';
import {
  checkCgroups,
  checkDevices,
  checkDisk,
  checkFilesystems,
  checkFirmware,
  checkMemory,
  checkNetworking,
  checkNode,
  checkPort,
  checkRoot,
  checkTools,
  checkWireguard,
  type Finding,
} from '../doctor/checks.ts';
import { checkKvm } from '../doctor/kvm.ts';
import { checkLeaks } from '../doctor/leaks.ts';
import { checkGateway, checkNumbers } from '../doctor/node.ts';
import { loadConfig } from '../node/config.ts';
import { layoutOf, stateFolder } from '../node/layout.ts';
import { supervisorOf } from '../node/lifecycle.ts';
import { chainPort, httpPort, relayPort } from '../node/ports.ts';
import { table } from '../table.ts';

const usage = `usage: gridnode doctor [--state DIR] [--json]

Checks this machine, and a node that runs on it, and says for each finding what
to do. Ends with status 1 when a node cannot run.`;

export const command: Command = {
  usage,
  async run(args) {
    const values = readFlags(args, { state: { type: 'string' }, json: { type: 'boolean' } }, usage);
    const runs = (await supervisorOf(layoutOf(values.state))) !== undefined;
    const findings: Finding[] = [
      checkRoot(),
      checkNode(),
      await checkTools(),
      await checkFirmware(),
      await checkFilesystems(),
      await checkDevices(),
      await checkNetworking(),
      await checkWireguard(),
      await checkCgroups(),
      await checkKvm(),
      checkMemory(),
      await checkDisk(stateFolder(values.state), runs),
      // A node that runs may itself be what listens.
      ...(runs ? await checkRunning(values.state) : await checkPorts()),
    ];
    if (values.json) {
      process.stdout.write(`${JSON.stringify(findings)}\n`);
    } else {
      const rows = findings.map((finding) => [finding.state, finding.check, finding.found, finding.remedy]);
      process.stdout.write(`${table(['', 'check', 'found', 'what to do'], rows)}\n`);
    }
    return findings.some((finding) => finding.state === 'fail') ? 1 : 0;
  },
};

async function checkPorts(): Promise<Finding[]> {
  return [
    await checkPort(chainPort, 'development chain'),
    await checkPort(relayPort, 'embedded relay'),
    await checkPort(httpPort, 'metrics and health page'),
  ];
}

/** Findings about the node that runs in that state folder. */
async function checkRunning(state: string | undefined): Promise<Finding[]> {
  const layout = layoutOf(state);
  const config = await loadConfig(layout);
  const findings = [...(await checkGateway(config)), ...(await checkNumbers(config)), ...(await checkLeaks(layout))];
  return config.simulated === null ? findings : findings.map(ofSimulated);
}

/** A simulated node's daemons share the log of its unit `node`, but for the chain's. */
function ofSimulated(finding: Finding): Finding {
  const remedy = finding.remedy
    .replace('gridnode logs chaind', 'gridnode logs chain')
    .replace(/gridnode logs (?:provisiond|gateway)/, 'gridnode logs node');
  return { ...finding, remedy };
}
