import { ManualClock, PIT_HZ, Pit, type PitState } from "@softmetal/chipset";
import type { PitState as KvmPitState } from "@softmetal/kvm-binding";

/**
 * The kernel's PIT in the format of chipset's, and back. The kernel does not tell since when counter 0 counts: its period
 * or delay begins anew on either way, so that one interrupt may come late. What it keeps of the others begins anew only
 * on the way to it.
 */

/** `mode` of a counter that was never programmed. */
const UNPROGRAMMED = 0xff;
/** `read_state`, `write_state`, `count_latched` and `rw_mode` of the kernel (arch/x86/kvm/i8254.h, `RW_STATE_*`). */
const RW = { low: 1, high: 2, word: 3, wordHigh: 4 } as const;
/** KVM_PIT_FLAGS_SPEAKER_DATA_ON. */
const SPEAKER = 2;
const GATE = 1;

/**
 * @param now guest time, in nanoseconds
 * @param hostNow the host's monotonic clock, by which the kernel counts
 */
export function readPit(kvm: KvmPitState, now: number, hostNow: bigint): PitState {
  const pit = new Pit({ timers: new ManualClock(now), irq: { set() {} } });
  const channels = [...kvm.channels];
  channels.forEach(({ mode, rw_mode, bcd, count }, index) => {
    if (mode === UNPROGRAMMED) return;
    pit.writePort(0x43, 1, (index << 6) | ((rw_mode & 3) << 4) | ((mode & 7) << 1) | (bcd & 1));
    if (rw_mode & RW.low) pit.writePort(0x40 + index, 1, count & 0xff);
    if (rw_mode & RW.high) pit.writePort(0x40 + index, 1, (count >> 8) & 0xff);
  });
  // Counters that GATE starts have their count now.
  pit.writePort(0x61, 1, (channels[2].gate ? GATE : 0) | (kvm.flags & SPEAKER));
  const state = pit.save();
  channels.forEach((channel, index) => {
    const counter = state.counters[index];
    if (index > 0 && counter.start >= 0) {
      const passed = Number(hostNow - channel.count_load_time);
      counter.start -= Math.max(0, Math.floor((passed * PIT_HZ) / 1e9));
    }
    counter.writeMsb = channel.write_state === RW.wordHigh;
    counter.writeLow = channel.write_latch;
    counter.countLatched = channel.count_latched !== 0;
    counter.latchedCount = channel.latched_count;
    counter.readMsb = counter.countLatched
      ? channel.rw_mode === RW.word && channel.count_latched === RW.high
      : channel.read_state === RW.wordHigh;
    counter.statusLatched = channel.status_latched !== 0;
    counter.latchedStatus = channel.status;
  });
  return state;
}

/** Into a structure as the kernel gives it; its flags for HPETs stay. */
export function writePit(state: PitState, kvm: KvmPitState, now: number): void {
  const tick = Math.floor((now * PIT_HZ) / 1e9);
  for (const [index, channel] of [...kvm.channels].entries()) {
    const s = state.counters[index];
    const word = (s.access & 3) === RW.word || s.access === 0;
    const untouched = s.mode === 3 && s.access === RW.word && !s.bcd && s.start < 0 && s.reload === 0x10000;
    let count = s.next || s.reload;
    // What is left of a delay is a delay, too.
    const left = s.start + s.reload - tick;
    if ((s.mode === 0 || s.mode === 4) && s.start >= 0 && s.held < 0 && left > 0) count = Math.min(left, 0x10000);
    channel.$assign({
      count: Math.trunc(count),
      mode: untouched ? UNPROGRAMMED : s.mode & 7,
      rw_mode: word ? RW.word : s.access & 3,
      bcd: Number(s.bcd),
      gate: Number(s.gate),
      write_state: word && s.writeMsb ? RW.wordHigh : word ? RW.word : s.access & 3,
      write_latch: s.writeLow & 0xff,
      read_state: word && s.readMsb ? RW.wordHigh : word ? RW.word : s.access & 3,
      count_latched: !s.countLatched ? 0 : word ? (s.readMsb ? RW.high : RW.word) : s.access & 3,
      latched_count: s.latchedCount & 0xffff,
      status_latched: Number(s.statusLatched),
      status: s.latchedStatus & 0xff,
    });
  }
  kvm.flags = (kvm.flags & ~SPEAKER) | (state.portB & SPEAKER);
}
