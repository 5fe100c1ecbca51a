import type { MachineConfig } from "../api.js";
import { type BootResult, type GuestRam, loadBoot } from "../boot/index.js";
import { memoryMap } from "./memory-map.js";
import { firmwareTables } from "./platform.js";

/**
 * Writes tables and boot source into RAM, as firmware would leave them.
 * @throws MachineError `bad-boot-image`, `does-not-fit`
 */
export function loadMachine(ram: GuestRam, config: MachineConfig, cpus: number): BootResult {
  const { acpi, mp } = firmwareTables(cpus, config.devices?.serialPorts ?? 1);
  for (const block of [acpi, mp]) ram.write(block.address, block.bytes);
  return loadBoot({ ram, memoryMap: memoryMap(config.memory), rsdpAddress: acpi.address }, config.boot);
}
