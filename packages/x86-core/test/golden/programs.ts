import { MODE } from "../../src/decode/mode.js";

/** One basic block, as bytes. */
export interface GoldenProgram {
  readonly name: string;
  /** For the reader. */
  readonly source: readonly string[];
  readonly code: string;
  readonly mode: number;
}

const LONG = MODE.LONG;
const FLAT32 = MODE.CODE32 | MODE.FLAT;

export const PROGRAMS: readonly GoldenProgram[] = [
  {
    name: "alu-registers",
    source: ["add rax, rbx", "sub ecx, edx", "and r8w, r9w", "xor dh, bl", "ret"],
    code: "4801d8 29d1 664521c8 30de c3",
    mode: LONG,
  },
  {
    name: "load-store",
    source: ["mov rax, [rbx+rcx*4+0x10]", "mov [rip+0x100], eax", "add byte [gs:rdi], 1", "jmp $"],
    code: "488b448b10 890500010000 65800701 ebfe",
    mode: LONG,
  },
  {
    name: "stack",
    source: ["push rbp", "pop rax", "call [rax]"],
    code: "55 58 ff10",
    mode: LONG,
  },
  { name: "return", source: ["pop ebx", "ret 8"], code: "5b c20800", mode: FLAT32 },
  {
    name: "loop",
    source: ["again: add eax, [esi]", "dec ecx", "jne again", "nop"],
    code: "0306 49 75fb 90",
    mode: FLAT32,
  },
  { name: "shift-by-cl", source: ["shl rax, cl", "sar edx, cl", "ret"], code: "48d3e0 d3fa c3", mode: LONG },
  {
    name: "real-mode",
    source: ["mov ax, [bx+si+2]", "mov es:[di], al", "lodsb", "jmp $"],
    code: "8b4002 268805 ac ebfe",
    mode: MODE.NO_VEX,
  },
  {
    name: "sse",
    source: ["movaps xmm1, [rdi]", "paddd xmm1, xmm2", "pxor xmm3, xmm3", "movss [rsi], xmm1", "ret"],
    code: "0f280f 660ffeca 660fefdb f30f110e c3",
    mode: LONG,
  },
];
