/** Names in the local Redis: which commands have a service, which lists a client may be answered on. */

/** Where local clients put requests. */
export const REQUESTS = 'msgbus.system.local';
/** Where local services put answers. */
export const REPLIES = 'msgbus.system.reply';
/** Keys of the gateway's own; no client or service uses them. */
export const PRIVATE = 'gridnode.peer';

const MAX_COMMANDS = 1024;
const COMMAND = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
const MAX_COMMAND_LENGTH = 128;
/** First parts of commands whose queues would be the peer's own. */
const RESERVED = ['system', 'backlog', 'rmb'];
const LIST = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/;

export const serviceQueue = (command: string): string => `msgbus.${command}`;
export const backlogKey = (uid: string): string => `msgbus.backlog.${uid}`;

/** Why no service may have this command, `undefined` where one may. */
export function problemOfCommand(command: string): string | undefined {
  if (command.length > MAX_COMMAND_LENGTH || !COMMAND.test(command)) {
    return 'is not a command: letters, digits, _ and - in parts joined by dots';
  }
  const [first = ''] = command.split('.');
  return RESERVED.includes(first) ? `begins with '${first}.', which the peer keeps for itself` : undefined;
}

/** The operator's list of commands that have a service. Throws `RangeError` for names that cannot be on it. */
export function allowList(names: Iterable<string>, taken: (command: string) => boolean = () => false): Set<string> {
  const commands = new Set<string>();
  for (const name of names) {
    const problem = taken(name) ? 'is answered by the node itself' : problemOfCommand(name);
    if (problem !== undefined) throw new RangeError(`command '${name}' ${problem}`);
    commands.add(name);
  }
  if (commands.size > MAX_COMMANDS) throw new RangeError(`${commands.size} commands, at most ${MAX_COMMANDS}`);
  return commands;
}

/** Why answers are not pushed to a list of this name, `undefined` where they are. */
export function problemOfReturn(list: string): string | undefined {
  if (!LIST.test(list)) return 'ret is not a name of 1 to 128 letters, digits and . _ : @ / -';
  if (/^msgbus(\.|$)/.test(list) || list.startsWith('gridnode.')) {
    return "ret begins with 'msgbus.' or 'gridnode.', where other queues are";
  }
  return undefined;
}
