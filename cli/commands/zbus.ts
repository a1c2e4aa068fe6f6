import { CliError, type Command } from '../command.ts';

const usage = `usage: gridnode zbus SUBCOMMAND [options]

  list                                 modules that answer, their objects and workers
  call OBJECT METHOD [ARG…]            call a method; arguments and result are JSON
  watch MODULE.STREAM                  print events of a stream, one JSON line each
  generate --module MODULE --lang ts|go|json
                                       a client, or the interface as data
  encode request|answer|event …        JSON to a frame
  decode request|answer|event FRAME    a frame to JSON

OBJECT is storage.storage@0.0.1, or storage.storage, or storage where a module has one.
list, call and watch need a bus: --state DIR of a node here, or --broker URL
(unix:///path/to/redis.sock, tcp://host:port). The others need nothing.
Byte strings are base64 in JSON, addresses text, times RFC 3339, int64 exact numbers.

gridnode zbus SUBCOMMAND --help tells a subcommand's options.`;

const subcommands: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  list: () => import('../zbus/list.ts'),
  call: () => import('../zbus/call.ts'),
  watch: () => import('../zbus/watch.ts'),
  generate: () => import('../zbus/generate.ts'),
  encode: () => import('../zbus/encode.ts'),
  decode: () => import('../zbus/decode.ts'),
};

export const command: Command = {
  usage,
  // `--help` behind a subcommand is that subcommand's.
  takesHelp: true,
  async run(args) {
    const [name, ...rest] = args;
    if (name === undefined || name === '--help' || name === '-h') {
      process.stdout.write(`${usage}\n`);
      return name === undefined ? 2 : 0;
    }
    const load = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
    if (load === undefined) throw new CliError(`no subcommand '${name}'\n\n${usage}`);
    const { command: sub } = await load();
    if (rest.includes('--help') || rest.includes('-h')) {
      process.stdout.write(`${sub.usage}\n`);
      return 0;
    }
    return await sub.run(rest);
  },
};
