export type { Bus, CpuContext, InterruptController, StopReason, TimeSource } from "./cpu/context.js";
export { Cpu, type CpuOptions, createMemory, type InterpreterCode } from "./cpu/cpu.js";
export type { CpuModel } from "./cpu/model.js";
export { MODEL_NAMES, ModelError, type ModelErrorCode, parseModel } from "./cpu/models.js";
export { loadInterpreter } from "./interpreter/load.js";
export type { RamRegion } from "./mmu/physical-memory.js";
export { RAM_BASE, S, SEGMENTS, STATE_SIZE } from "./state/layout.js";
export type { State } from "./state/state.js";
export { FEATURES, type Feature } from "./table/features.js";
