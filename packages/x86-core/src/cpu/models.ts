import { FEATURES, type Feature } from "../table/features.js";
import type { CpuModel } from "./model.js";

/** Bits of a physical address; higher ones are reserved in page tables and CR3. */
export const PHYSICAL_ADDRESS_BITS = 40;

/** Why a model description was refused. */
export type ModelErrorCode = "unknown-model" | "unknown-feature" | "bad-syntax" | "missing-dependency";

/** A description of a CPU model that cannot be used; `part` is the offending piece of it. */
export class ModelError extends Error {
  override readonly name = "ModelError";
  constructor(
    readonly code: ModelErrorCode,
    readonly part: string,
    message: string,
  ) {
    super(message);
  }
}

const PENTIUM3: readonly Feature[] = [
  ..."fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 mmx fxsr sse".split(" "),
  "hypervisor",
] as Feature[];
const V1: readonly Feature[] = [
  ...PENTIUM3,
  ..."clflush sse2 syscall nx lm x2apic tsc-deadline invtsc lahf".split(" "),
] as Feature[];
const V2: readonly Feature[] = [...V1, ..."sse3 ssse3 cx16 sse4.1 sse4.2 popcnt".split(" ")] as Feature[];

interface Definition {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly brand: string;
  readonly features: readonly Feature[];
}

/**
 * The 64-bit models carry the family and model number of an in-order processor (06_36H). Such processors do not
 * execute speculatively, as this one does not, so that kernels leave out their mitigations, which cost a lot here.
 */
const IN_ORDER = { family: 6, model: 0x36, stepping: 1 };

/** `max` lacks only ERMS, which changes nothing but says that byte-wise string instructions are the fastest: not here. */
const MODELS: Record<string, Definition> = {
  pentium3: { family: 6, model: 8, stepping: 6, brand: "Softmetal CPU (pentium3)", features: PENTIUM3 },
  "x86-64-v1": { ...IN_ORDER, brand: "Softmetal CPU (x86-64-v1)", features: V1 },
  "x86-64-v2": { ...IN_ORDER, brand: "Softmetal CPU (x86-64-v2)", features: V2 },
  max: { ...IN_ORDER, brand: "Softmetal CPU (max)", features: FEATURES.filter((feature) => feature !== "erms") },
};
/** Names of the models that `parseModel` knows. */
export const MODEL_NAMES: readonly string[] = Object.keys(MODELS);

/** What a feature cannot be without. */
const REQUIRES: Partial<Record<Feature, readonly Feature[]>> = {
  mmx: ["fpu"],
  sse: ["fxsr", "mmx"],
  sse2: ["sse"],
  sse3: ["sse2"],
  ssse3: ["sse3"],
  "sse4.1": ["ssse3"],
  "sse4.2": ["sse4.1"],
  pclmulqdq: ["sse2"],
  aes: ["sse2"],
  sha: ["ssse3"],
  xsaveopt: ["xsave"],
  xsavec: ["xsave"],
  xsave: ["fxsr"],
  lm: ["pae", "msr", "syscall", "sse2"],
  nx: ["pae"],
  pcid: ["lm"],
  pdpe1gb: ["lm"],
  cx16: ["lm"],
  fsgsbase: ["lm"],
  x2apic: ["apic", "msr"],
  "tsc-deadline": ["apic", "tsc", "msr"],
  rdtscp: ["tsc"],
  mtrr: ["msr"],
  pat: ["msr"],
};

/**
 * Reads a description such as `max,+sha,-aes`: a model, then features to add and to take away, in order. Taking away a
 * feature takes those that need it with it.
 *
 * @throws ModelError naming the part that is wrong
 */
export function parseModel(text: string): CpuModel {
  const [name, ...changes] = text.split(",").map((part) => part.trim());
  if (!Object.hasOwn(MODELS, name)) {
    throw new ModelError("unknown-model", name, `unknown CPU model "${name}"; there are ${MODEL_NAMES.join(", ")}`);
  }
  const definition = MODELS[name];
  const features = new Set(definition.features);
  for (const change of changes) {
    const sign = change[0];
    if (sign !== "+" && sign !== "-") {
      throw new ModelError("bad-syntax", change, `"${change}" is neither +feature nor -feature`);
    }
    const feature = change.slice(1) as Feature;
    if (!FEATURES.includes(feature)) {
      throw new ModelError("unknown-feature", change, `unknown CPU feature "${feature}"`);
    }
    if (sign === "+") add(features, feature);
    else remove(features, feature);
  }
  return {
    name: text,
    vendor: "GenuineIntel",
    family: definition.family,
    model: definition.model,
    stepping: definition.stepping,
    brand: definition.brand,
    has: (feature) => features.has(feature),
  };
}

function add(features: Set<Feature>, feature: Feature): void {
  for (const needed of REQUIRES[feature] ?? []) {
    if (!features.has(needed)) {
      throw new ModelError("missing-dependency", `+${feature}`, `CPU feature "${feature}" needs "${needed}"`);
    }
  }
  features.add(feature);
}

function remove(features: Set<Feature>, feature: Feature): void {
  features.delete(feature);
  for (const [name, needs] of Object.entries(REQUIRES) as [Feature, readonly Feature[]][]) {
    if (features.has(name) && needs.includes(feature)) remove(features, name);
  }
}
