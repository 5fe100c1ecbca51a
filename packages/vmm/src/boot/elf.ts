import { MachineError } from "../api.js";
import { struct } from "./struct.js";

const bad = (message: string) => new MachineError("bad-boot-image", message);

const ident = struct({ magic: [0, 4], class: [4, 1], data: [5, 1] });
const header32 = struct({
  machine: [18, 2],
  entry: [24, 4],
  phoff: [28, 4],
  phentsize: [42, 2],
  phnum: [44, 2],
  end: [50, 2],
});
const header64 = struct({
  machine: [18, 2],
  entry: [24, 8],
  phoff: [32, 8],
  phentsize: [54, 2],
  phnum: [56, 2],
  end: [62, 2],
});
const program32 = struct({
  type: [0, 4],
  offset: [4, 4],
  vaddr: [8, 4],
  paddr: [12, 4],
  filesz: [16, 4],
  memsz: [20, 4],
  align: [28, 4],
});
const program64 = struct({
  type: [0, 4],
  offset: [8, 8],
  vaddr: [16, 8],
  paddr: [24, 8],
  filesz: [32, 8],
  memsz: [40, 8],
  align: [48, 8],
});

const MAGIC = 0x464c457f;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;

export interface ElfSegment {
  /** Virtual address; exact below 2^53 only. */
  virtual: number;
  /** Physical address: where the bytes go. */
  physical: number;
  /** Bytes in memory; those after `data` are zero. */
  memorySize: number;
  data: Uint8Array;
}

export interface ElfNote {
  name: string;
  type: number;
  data: Uint8Array;
}

export interface ElfFile {
  class: 32 | 64;
  /** Virtual address of the entry. */
  entry: number;
  /** Loadable segments which are not empty, in the order of the file. */
  segments: ElfSegment[];
  notes: ElfNote[];
}

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 16 && ident.read(bytes, "magic") === MAGIC;
}

/**
 * Reads the headers of an x86 ELF file that is to be loaded by physical addresses.
 * @throws MachineError `bad-boot-image`
 */
export function parseElf(bytes: Uint8Array): ElfFile {
  if (!isElf(bytes)) throw bad("The kernel is not an ELF file.");
  const elfClass = ident.read(bytes, "class");
  if ((elfClass !== 1 && elfClass !== 2) || ident.read(bytes, "data") !== 1) {
    throw bad("The ELF kernel is not a little-endian 32-bit or 64-bit file.");
  }
  const header = elfClass === 1 ? header32 : header64;
  const program = elfClass === 1 ? program32 : program64;
  if (bytes.length < header.size) throw bad("The ELF kernel is truncated: it ends inside the file header.");
  const machine = header.read(bytes, "machine");
  if (machine !== EM_386 && machine !== EM_X86_64) {
    throw bad(`The ELF kernel is for another processor (e_machine ${machine}), not for x86.`);
  }
  const count = header.read(bytes, "phnum");
  const entrySize = header.read(bytes, "phentsize");
  const offset = header.read(bytes, "phoff");
  if (count === 0) throw bad("The ELF file has no program headers, so it is not a kernel that can be loaded.");
  if (entrySize < program.size) throw bad(`The ELF kernel's program headers are too small (${entrySize} bytes each).`);
  if (offset + count * entrySize > bytes.length) {
    throw bad("The ELF kernel is truncated: it ends before its program headers do.");
  }

  const segments: ElfSegment[] = [];
  const notes: ElfNote[] = [];
  for (let i = 0; i < count; i++) {
    const at = offset + i * entrySize;
    const type = program.read(bytes, "type", at);
    if (type !== PT_LOAD && type !== PT_NOTE) continue;
    const start = program.read(bytes, "offset", at);
    const fileSize = program.read(bytes, "filesz", at);
    if (start + fileSize > bytes.length) {
      throw bad(`The ELF kernel is truncated: segment ${i} ends at byte ${start + fileSize} of ${bytes.length}.`);
    }
    const data = bytes.subarray(start, start + fileSize);
    if (type === PT_NOTE) {
      notes.push(...parseNotes(data, program.read(bytes, "align", at)));
      continue;
    }
    const memorySize = program.read(bytes, "memsz", at);
    if (memorySize < fileSize) throw bad(`Segment ${i} of the ELF kernel is larger in the file than in memory.`);
    if (memorySize === 0) continue;
    segments.push({
      virtual: program.read(bytes, "vaddr", at),
      physical: program.read(bytes, "paddr", at),
      memorySize,
      data,
    });
  }
  if (segments.length === 0) throw bad("The ELF kernel has no loadable segment.");
  return { class: elfClass === 1 ? 32 : 64, entry: header.read(bytes, "entry"), segments, notes };
}

const noteHeader = struct({ namesz: [0, 4], descsz: [4, 4], type: [8, 4] });

/** Notes are aligned to 4 bytes, or to 8 when the segment says so; a broken note ends the list. */
function parseNotes(data: Uint8Array, alignment: number): ElfNote[] {
  const step = alignment === 8 ? 8 : 4;
  const align = (value: number) => Math.ceil(value / step) * step;
  const notes: ElfNote[] = [];
  let at = 0;
  while (at + noteHeader.size <= data.length) {
    const nameSize = noteHeader.read(data, "namesz", at);
    const nameStart = at + noteHeader.size;
    const start = align(nameStart + nameSize);
    const end = start + noteHeader.read(data, "descsz", at);
    if (end > data.length) break;
    const name = new TextDecoder("latin1").decode(data.subarray(nameStart, nameStart + nameSize)).replace(/\0+$/, "");
    notes.push({ name, type: noteHeader.read(data, "type", at), data: data.subarray(start, end) });
    at = align(end);
  }
  return notes;
}
