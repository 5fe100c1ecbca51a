import { report } from "../img/main.js";
import { Arguments } from "../img/support/common.js";
import { CommandError, Context, HelpWanted, UsageError } from "../img/support/context.js";
import { ProcessTerminal, type Terminal } from "../img/support/terminal.js";
import { FORKED, readSettings, SPEC } from "./options.js";

const USAGE = `Usage: %program% [OPTIONS] FILE
  or:  %program% -L [OPTIONS]
Disk image server for the Network Block Device protocol, with the command line of qemu-nbd

  -h, --help                display this help and exit
  -V, --version             output version information and exit

Connection properties:
  -p, --port=PORT           port to listen on (default 10809)
  -b, --bind=IFACE          interface to bind to (default 127.0.0.1)
  -k, --socket=PATH         path to the unix socket
  -e, --shared=NUM          device can be shared by NUM clients (default 1, 0 for any number)
  -t, --persistent          don't exit on the last connection
  -v, --verbose             display extra debugging information
  -x, --export-name=NAME    expose export by name (default is empty string)
  -D, --description=TEXT    export a human-readable description

Exposing part of the image:
  -o, --offset=OFFSET       offset into the image
  -A, --allocation-depth    expose the allocation depth
  -B, --bitmap=NAME         expose a persistent dirty bitmap (may be repeated)

General purpose options:
  -L, --list                list exports available from another NBD server
  --object type,id=ID,...   define an object: 'secret' for passphrases, 'tls-creds-x509' or 'tls-creds-psk' for TLS
  --tls-creds=ID            use the id of an earlier --object to provide TLS
  --tls-hostname=NAME       with -L, the name that the server's certificate must carry
  -T, --trace PATTERN       accepted for compatibility
  --fork                    start the server and exit once it is running
  --pid-file=PATH           store the server's process ID in the given file

Block device options:
  -f, --format=FORMAT       set image format (raw, qcow2)
  -r, --read-only           export read-only
  -s, --snapshot            redirect writes to a temporary overlay
  -l, --load-snapshot=SNAPSHOT
                            export an internal snapshot read-only; 'snapshot.id=[ID],snapshot.name=[NAME]', or '[ID_OR_NAME]'
  -n, --nocache             accepted for compatibility
      --cache=MODE          'none', 'writeback' (default), 'writethrough', 'directsync' or 'unsafe'
      --aio=MODE            accepted for compatibility (native, io_uring or threads)
      --discard=MODE        set discard mode (ignore, unmap)
      --detect-zeroes=MODE  store zeros that are written as such (off, on, unmap)
      --image-opts          treat FILE as a full set of image options

A socket that is passed on by its starter (LISTEN_FDS and LISTEN_PID, as of systemd) is used instead of -p or -k.
`;

/** `softmetal nbd`: returns the exit status when the server ends. */
export async function main(
  argv: string[],
  programName: string,
  terminal: Terminal = new ProcessTerminal(),
): Promise<number> {
  const context = new Context(programName, terminal);
  try {
    return await start(context, argv);
  } catch (error) {
    return report(context, error);
  }
}

async function start(context: Context, argv: string[]): Promise<number> {
  let options: Arguments;
  try {
    options = await Arguments.parse(context, argv, SPEC);
  } catch (error) {
    if (error instanceof HelpWanted) {
      context.out(USAGE.replaceAll("%program%", context.program));
      return 0;
    }
    if (!(error instanceof UsageError)) throw error;
    const more = `Try \`${context.program} --help' for more information.`;
    throw new CommandError(`${error.standard}\n${context.program}: ${more}`);
  }
  if (options.has("V")) {
    const { COMPATIBLE_VERSION } = await import("../img/help.js");
    context.out(`${context.program} ${COMPATIBLE_VERSION} (Softmetal)\n`);
    return 0;
  }
  const settings = readSettings(context, options);
  if (settings.list) return (await import("./list.js")).list(context, settings);
  if (settings.fork) return (await import("./fork.js")).fork(argv);
  const { serve } = await import("./serve.js");
  return serve(context, settings, () => {
    // The parent of --fork waits for this word.
    if (process.env[FORKED] === undefined) return;
    process.send?.("ready");
    process.disconnect();
  });
}
