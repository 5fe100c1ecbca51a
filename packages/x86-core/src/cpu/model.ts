import type { Feature } from "../table/features.js";

/** What CPUID says and which instructions exist. */
export interface CpuModel {
  readonly name: string;
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly brand: string;
  has(feature: Feature): boolean;
}
