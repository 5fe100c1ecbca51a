const RUN_PARAMETER = "softmetal.run";
const SIZE_PARAMETER = "softmetal.size";
/** How `/init` tells that the command of `run` failed; Debian's kernels leave a program no port to tell it by. */
const STATUS_LINE = "softmetal: the command ended with status ";

/** What `/init` of the default guest can be told on the kernel command line. */
export interface InitParameters {
  /** A shell command to run in place of the interactive shell; the guest powers off afterwards. */
  run?: string;
  /** Size of the terminal. */
  rows?: number;
  columns?: number;
}

/** The kernel command-line words that carry the parameters. */
export function initParameters(parameters: InitParameters): string {
  const words: string[] = [];
  if (parameters.run !== undefined) words.push(`${RUN_PARAMETER}=${escapeCommand(parameters.run)}`);
  if (parameters.rows && parameters.columns) words.push(`${SIZE_PARAMETER}=${parameters.rows}x${parameters.columns}`);
  return words.join(" ");
}

/** The exit status of the command of `run`, from what the guest sent to the console; 0 when it reported no failure. */
export function commandStatus(output: string): number {
  const at = output.lastIndexOf(STATUS_LINE);
  return at < 0 ? 0 : Number.parseInt(output.slice(at + STATUS_LINE.length), 10) || 0;
}

/** Percent-encodes all but plain characters: the kernel's command line has no quoting that every reader agrees on. */
function escapeCommand(command: string): string {
  return Array.from(new TextEncoder().encode(command), (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9_./:+-]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
  }).join("");
}

/** `/init`: process 1 of the default guest, a busybox shell script. */
export const initScript = `#!/bin/busybox sh
# The first process of Softmetal's default guest.
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HOME=/root TERM=\${TERM:-linux} ENV=/etc/profile

/bin/busybox mkdir -p /proc /sys /dev /tmp /root /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mkdir -p /dev/pts
/bin/busybox mount -t devpts devpts /dev/pts
/bin/busybox --install -s
/bin/busybox hostname softmetal
/bin/busybox ip link set lo up 2>/dev/null

turn_off() { sync; exec /bin/busybox poweroff -f; }
# busybox's own poweroff, halt and reboot ask process 1 by these signals.
trap turn_off USR1 USR2
trap 'sync; exec /bin/busybox reboot -f' TERM

run= size=
for word in $(cat /proc/cmdline); do
  case "$word" in
    ${RUN_PARAMETER}=*) run="\${word#*=}" ;;
    ${SIZE_PARAMETER}=*) size="\${word#*=}" ;;
  esac
done

if [ -n "$run" ]; then
  sh -c "$(printf '%b' "$(echo "$run" | sed 's/%/\\\\x/g')")" </dev/null
  status=$?
  [ "$status" = 0 ] || echo "${STATUS_LINE}$status"
  turn_off
fi

[ -n "$size" ] && stty rows "\${size%x*}" cols "\${size#*x}" </dev/console
while :; do
  # The shell has a session of its own with the console as its terminal, which job control needs.
  # login gives it back Ctrl-C, which a shell without job control takes from whatever it starts with "&".
  setsid cttyhack login -f -p root </dev/console >/dev/console 2>&1 &
  wait $!
done
`;

/** `/etc/profile`, read by the interactive shell. */
export const profile = `PS1='\\w # '
poweroff() { sync; /bin/busybox poweroff -f; }
halt() { poweroff; }
reboot() { sync; /bin/busybox reboot -f; }
`;
