export * as aml from "./aml.js";
export { type AcpiOptions, type AcpiTables, buildAcpiTables } from "./build.js";
export { mmioDevice, simpleDevice } from "./dsdt.js";
export * as resources from "./resources.js";
export { table as acpiTable } from "./tables.js";
