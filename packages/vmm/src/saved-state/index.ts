import { FEATURES } from "@softmetal/x86-core";
import { type MachineConfig, MachineError } from "../api.js";
import { readModel } from "../machine/model.js";
import { bad, decodeContainer, encodeContainer } from "./container.js";
import { integer, object, text } from "./fields.js";
import { readHardware, type SavedHardware } from "./hardware.js";
import { extentsOf, restoreRam } from "./ram.js";

/** What an engine gives and takes; only while the machine stands still. */
export interface Savable {
  /** RAM from address 0. */
  readonly ram: Uint8Array;
  save(): SavedHardware;
  /** Takes over hardware whose outermost layer is checked; throws anything, having taken a part, when it cannot. */
  load(saved: SavedHardware): void;
  /** RAM was replaced. */
  ramChanged(): void;
}

/** @throws MachineError `out-of-memory` */
export function saveMachine(machine: Savable, config: MachineConfig): Uint8Array<ArrayBuffer> {
  const { memory, cpu = readModel(config.cpu).name, cpus = 1, devices } = config;
  const serialPorts = devices?.serialPorts ?? 1;
  const description = { machine: { memory, cpu, cpus, serialPorts }, hardware: machine.save() };
  return encodeContainer({ description, extents: extentsOf(machine.ram) });
}

/**
 * Makes a machine what a saved one was; when that cannot be, it stays as it is.
 * @throws MachineError `bad-saved-state`
 */
export function loadMachineState(machine: Savable, config: MachineConfig, bytes: Uint8Array): void {
  const { description, extents } = decodeContainer(bytes, config.memory);
  const { machine: saved, hardware } = object(description, "description");
  checkMachine(saved, config);
  const wanted = readHardware(hardware, config.cpus ?? 1);
  const before = machine.save();
  try {
    machine.load(wanted);
  } catch (cause) {
    machine.load(before);
    if (cause instanceof MachineError) throw cause;
    throw bad(`The saved machine cannot be taken over: ${cause instanceof Error ? cause.message : cause}.`, cause);
  }
  restoreRam(machine.ram, extents);
  machine.ramChanged();
}

/** Whether a guest that was in the saved machine finds the same one here. */
function checkMachine(given: unknown, config: MachineConfig): void {
  const saved = object(given, "machine");
  const differ = (what: string, theirs: number, ours: number) => {
    if (theirs !== ours) throw bad(`The saved machine has ${theirs} ${what}, this one ${ours}.`);
  };
  const whole = (name: string) => integer(saved[name], `machine.${name}`, 0, 2 ** 40);
  differ("bytes of RAM", whole("memory"), config.memory);
  differ("processors", whole("cpus"), config.cpus ?? 1);
  differ("serial ports", whole("serialPorts"), config.devices?.serialPorts ?? 1);
  const theirs = modelOf(text(saved.cpu, "machine.cpu"));
  const ours = readModel(config.cpu);
  const missing = FEATURES.filter((feature) => theirs.has(feature) && !ours.has(feature));
  if (missing.length > 0) throw bad(`The saved machine's processor has ${missing.join(", ")}, this one's has not.`);
}

function modelOf(name: string) {
  try {
    return readModel(name.slice(0, 1000));
  } catch (cause) {
    throw bad("The saved machine has a CPU model that is unknown here.", cause);
  }
}
