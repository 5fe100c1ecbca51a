import { struct } from "./struct.js";

/**
 * `struct boot_params` with the setup header in it, at the offsets of Linux's Documentation/arch/x86/zero-page.rst and
 * boot.rst. The header has the same offsets in a bzImage file, so that one definition reads the file and writes the page.
 */
export const bootParams = struct(
  {
    /** KiB above 1 MiB, which kernels without e820 use. */
    ext_mem_k: [0x002, 2],
    acpi_rsdp_addr: [0x070, 8],
    ext_ramdisk_image: [0x0c0, 4],
    ext_ramdisk_size: [0x0c4, 4],
    ext_cmd_line_ptr: [0x0c8, 4],
    /** KiB above 1 MiB, for more than 64 MiB. */
    alt_mem_k: [0x1e0, 4],
    e820_entries: [0x1e8, 1],
    setup_sects: [0x1f1, 1],
    syssize: [0x1f4, 4],
    vid_mode: [0x1fa, 2],
    boot_flag: [0x1fe, 2],
    /** The displacement byte of a short jump: the header ends at 0x202 plus this. */
    jump: [0x201, 1],
    header: [0x202, 4],
    version: [0x206, 2],
    kernel_version: [0x20e, 2],
    type_of_loader: [0x210, 1],
    loadflags: [0x211, 1],
    code32_start: [0x214, 4],
    ramdisk_image: [0x218, 4],
    ramdisk_size: [0x21c, 4],
    cmd_line_ptr: [0x228, 4],
    initrd_addr_max: [0x22c, 4],
    kernel_alignment: [0x230, 4],
    relocatable_kernel: [0x234, 1],
    min_alignment: [0x235, 1],
    xloadflags: [0x236, 2],
    cmdline_size: [0x238, 4],
    pref_address: [0x258, 8],
    init_size: [0x260, 4],
  },
  0x1000,
);

export const SETUP_HEADER_START = 0x1f1;

/** One entry of the e820 table inside boot_params. */
export const e820Entry = struct({ address: [0, 8], size: [8, 8], type: [16, 4] });
export const E820_TABLE = 0x2d0;
export const E820_MAX_ENTRIES = 128;

/** `boot_flag` and `header` ("HdrS"). */
export const BOOT_FLAG = 0xaa55;
export const HEADER_MAGIC = 0x53726448;

/** loadflags: the protected-mode code goes to 1 MiB or above. */
export const LOADED_HIGH = 0x01;
/** xloadflags: the kernel has an entry in 64-bit mode at 0x200 after its start. */
export const XLF_KERNEL_64 = 0x01;
/** `type_of_loader` for a loader without an assigned number. */
export const LOADER_UNDEFINED = 0xff;
/** `vid_mode`: "normal". */
export const VIDEO_NORMAL = 0xffff;
