import { encode, reserved, struct, u8, u16, u32, u64 } from "../binary.js";
import { ACPI_PM_PORTS, GPE0_LENGTH } from "../power/acpi-pm.js";
import { RESET_CONTROL_PORT, RESET_CONTROL_VALUE } from "../power/reset-ports.js";
import { RTC_CENTURY_REGISTER } from "../rtc/rtc.js";
import { GenericAddress, table } from "./tables.js";

/** Body of the fixed ACPI description table, revision 6 (ACPI 6.3, table 5-33), after the header. */
export const Fadt = struct({
  firmwareCtrl: u32,
  dsdt: u32,
  reserved0: reserved(1),
  preferredPmProfile: u8,
  sciInt: u16,
  smiCmd: u32,
  acpiEnable: u8,
  acpiDisable: u8,
  s4BiosReq: u8,
  pstateCnt: u8,
  pm1aEvtBlk: u32,
  pm1bEvtBlk: u32,
  pm1aCntBlk: u32,
  pm1bCntBlk: u32,
  pm2CntBlk: u32,
  pmTmrBlk: u32,
  gpe0Blk: u32,
  gpe1Blk: u32,
  pm1EvtLen: u8,
  pm1CntLen: u8,
  pm2CntLen: u8,
  pmTmrLen: u8,
  gpe0BlkLen: u8,
  gpe1BlkLen: u8,
  gpe1Base: u8,
  cstCnt: u8,
  pLvl2Lat: u16,
  pLvl3Lat: u16,
  flushSize: u16,
  flushStride: u16,
  dutyOffset: u8,
  dutyWidth: u8,
  dayAlrm: u8,
  monAlrm: u8,
  century: u8,
  iapcBootArch: u16,
  reserved1: reserved(1),
  flags: u32,
  resetReg: GenericAddress,
  resetValue: u8,
  armBootArch: u16,
  minorVersion: u8,
  xFirmwareCtrl: u64,
  xDsdt: u64,
  xPm1aEvtBlk: GenericAddress,
  xPm1bEvtBlk: GenericAddress,
  xPm1aCntBlk: GenericAddress,
  xPm1bCntBlk: GenericAddress,
  xPm2CntBlk: GenericAddress,
  xPmTmrBlk: GenericAddress,
  xGpe0Blk: GenericAddress,
  xGpe1Blk: GenericAddress,
  sleepControlReg: GenericAddress,
  sleepStatusReg: GenericAddress,
  hypervisorVendorId: u64,
});

const BOOT_LEGACY_DEVICES = 0x01;
const BOOT_8042 = 0x02;
const BOOT_VGA_NOT_PRESENT = 0x04;

const FLAG_WBINVD = 1 << 0;
const FLAG_PROC_C1 = 1 << 2;
/** There is no fixed sleep button; the power button (bit 4 clear) is a fixed one. */
const FLAG_SLP_BUTTON = 1 << 5;
/** The RTC's wake status is not in the fixed registers. */
const FLAG_FIX_RTC = 1 << 6;
const FLAG_TMR_VAL_EXT = 1 << 8;
const FLAG_RESET_REG_SUP = 1 << 10;

/** Latencies above 100 and 1000 us say that C2 and C3 do not exist. */
const NO_C2 = 0xfff;
const NO_C3 = 0xfff;

const NOWHERE: GenericAddress = { space: 0, bitWidth: 0, bitOffset: 0, accessSize: 0, address: 0 };

function port(address: number, bytes: number, accessSize: number): GenericAddress {
  return { space: 1, bitWidth: bytes * 8, bitOffset: 0, accessSize, address };
}

export interface FadtOptions {
  readonly facsAddress: number;
  readonly dsdtAddress: number;
  readonly i8042: boolean;
  readonly vga: boolean;
  readonly timerBits: 24 | 32;
}

export function fadt(options: FadtOptions): Uint8Array {
  return table(
    "FACP",
    6,
    encode(Fadt, {
      firmwareCtrl: options.facsAddress,
      dsdt: options.dsdtAddress,
      reserved0: 0,
      preferredPmProfile: 1,
      sciInt: 9,
      // No SMI command port: the machine is always in ACPI mode.
      smiCmd: 0,
      acpiEnable: 0,
      acpiDisable: 0,
      s4BiosReq: 0,
      pstateCnt: 0,
      pm1aEvtBlk: ACPI_PM_PORTS.pm1aEvent,
      pm1bEvtBlk: 0,
      pm1aCntBlk: ACPI_PM_PORTS.pm1aControl,
      pm1bCntBlk: 0,
      pm2CntBlk: 0,
      pmTmrBlk: ACPI_PM_PORTS.pmTimer,
      gpe0Blk: ACPI_PM_PORTS.gpe0,
      gpe1Blk: 0,
      pm1EvtLen: 4,
      pm1CntLen: 2,
      pm2CntLen: 0,
      pmTmrLen: 4,
      gpe0BlkLen: GPE0_LENGTH,
      gpe1BlkLen: 0,
      gpe1Base: 0,
      cstCnt: 0,
      pLvl2Lat: NO_C2,
      pLvl3Lat: NO_C3,
      flushSize: 0,
      flushStride: 0,
      dutyOffset: 0,
      dutyWidth: 0,
      dayAlrm: 0,
      monAlrm: 0,
      century: RTC_CENTURY_REGISTER,
      iapcBootArch: BOOT_LEGACY_DEVICES | (options.i8042 ? BOOT_8042 : 0) | (options.vga ? 0 : BOOT_VGA_NOT_PRESENT),
      reserved1: 0,
      flags:
        FLAG_WBINVD |
        FLAG_PROC_C1 |
        FLAG_SLP_BUTTON |
        FLAG_FIX_RTC |
        FLAG_RESET_REG_SUP |
        (options.timerBits === 32 ? FLAG_TMR_VAL_EXT : 0),
      resetReg: port(RESET_CONTROL_PORT, 1, 1),
      resetValue: RESET_CONTROL_VALUE,
      armBootArch: 0,
      minorVersion: 3,
      // Only one of the two FACS addresses may be given.
      xFirmwareCtrl: 0,
      xDsdt: options.dsdtAddress,
      xPm1aEvtBlk: port(ACPI_PM_PORTS.pm1aEvent, 4, 2),
      xPm1bEvtBlk: NOWHERE,
      xPm1aCntBlk: port(ACPI_PM_PORTS.pm1aControl, 2, 2),
      xPm1bCntBlk: NOWHERE,
      xPm2CntBlk: NOWHERE,
      xPmTmrBlk: port(ACPI_PM_PORTS.pmTimer, 4, 3),
      xGpe0Blk: port(ACPI_PM_PORTS.gpe0, GPE0_LENGTH, 1),
      xGpe1Blk: NOWHERE,
      sleepControlReg: NOWHERE,
      sleepStatusReg: NOWHERE,
      hypervisorVendorId: 0,
    }),
  );
}
