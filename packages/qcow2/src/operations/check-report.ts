import type { CheckMessage, CheckOptions, CheckResult } from "../image/types.js";

const DEFAULT_MAX_MESSAGES = 1000;

export type RepairMode = "none" | "leaks" | "all";

/** Counters and messages of a check under way. What was found includes what was fixed. */
export class CheckReport {
  corruptions = 0;
  leaks = 0;
  corruptionsFixed = 0;
  leaksFixed = 0;
  checkErrors = 0;
  flagsOverLeaks = 0;
  totalClusters = 0;
  allocatedClusters = 0;
  fragmentedClusters = 0;
  compressedClusters = 0;
  imageEndOffset = 0;
  /** The refcount structures are damaged so that entries cannot be set one by one. */
  rebuild = false;
  readonly messages: CheckMessage[] = [];

  constructor(readonly options: CheckOptions) {}

  /** Corruptions that are still there. */
  get remaining(): number {
    return this.corruptions - this.corruptionsFixed;
  }

  say(kind: CheckMessage["kind"], text: string): void {
    const message: CheckMessage = { kind, text };
    if (this.messages.length < (this.options.maxMessages ?? DEFAULT_MAX_MESSAGES)) this.messages.push(message);
    this.options.onMessage?.(message);
  }

  /** @param times how often the structure with the damage is referred to. */
  corruption(text: string, times = 1): void {
    this.corruptions += times;
    this.say("corruption", `ERROR${text.startsWith(":") ? "" : " "}${text}`);
  }

  repaired(text: string, count = 1): void {
    this.corruptions += count;
    this.corruptionsFixed += count;
    this.say("repaired", `Repairing ${text}`);
  }

  /** A COPIED flag that only seems wrong, because of a leak: no corruption. */
  flagOverLeak(text: string): void {
    this.flagsOverLeaks++;
    this.say("leak", `ERROR ${text}`);
  }

  /** Something that kept the check from looking at a part of the image. */
  error(text: string): void {
    this.checkErrors++;
    this.say("error", text);
  }

  result(): CheckResult {
    const { rebuild: _rebuild, options: _options, ...result } = this;
    return result;
  }
}
