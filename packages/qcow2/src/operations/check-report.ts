import type { CheckMessage, CheckOptions, CheckResult } from "../image/types.js";

const DEFAULT_MAX_MESSAGES = 1000;

/** Counters and messages of a check under way. */
export class CheckReport {
  corruptions = 0;
  leaks = 0;
  corruptionsFixed = 0;
  leaksFixed = 0;
  checkErrors = 0;
  totalClusters = 0;
  allocatedClusters = 0;
  fragmentedClusters = 0;
  compressedClusters = 0;
  imageEndOffset = 0;
  /** Refcount blocks or the table itself are damaged: entries cannot be set one by one. */
  rebuild = false;
  /** Corruptions that a rebuild of the refcounts repairs. */
  mismatches = 0;
  readonly messages: CheckMessage[] = [];

  constructor(readonly options: CheckOptions) {}

  say(kind: CheckMessage["kind"], text: string): void {
    const message: CheckMessage = { kind, text };
    if (this.messages.length < (this.options.maxMessages ?? DEFAULT_MAX_MESSAGES)) this.messages.push(message);
    this.options.onMessage?.(message);
  }

  corruption(text: string): void {
    this.corruptions++;
    this.say("corruption", `ERROR ${text}`);
  }

  result(): CheckResult {
    const { rebuild: _rebuild, options: _options, mismatches: _mismatches, ...result } = this;
    return result;
  }
}
