# Real-address mode: vectors, flags, far transfers, wrapping addresses, 32-bit operands, big segments.
        .code32
        .section .header, "a"
        .include "multiboot.inc"
        .text
        .globl start
start:  cli
        cld
        movb $0xff, %al
        outb %al, $0x21
        outb %al, $0xa1
        # The 16-bit part runs at 0700:0000.
        mov $code16, %esi
        mov $0x7000, %edi
        mov $(code16_end - code16), %ecx
        rep movsb
        lgdt gdt_pointer
        ljmp $8, $(in16 - code16)       # a 16-bit segment with base 7000

        .data
        .align 8
gdt:    .quad 0
        .quad 0x00009b007000ffff        # 08: 16-bit code, base 7000, limit FFFF
        .quad 0x000093000000ffff        # 10: 16-bit data, limit FFFF
        .quad 0x00cf93000000ffff        # 18: data, limit 4 GiB
        .quad 0x00cf9b000000ffff        # 20: 32-bit code
gdt_pointer:
        .word 39
        .long gdt

        .section .code16, "ax"
        .code16
code16:
        .set BASE, code16
in16:   mov $0x10, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov %ax, %fs
        mov %ax, %gs
        mov %cr0, %eax
        and $~1, %al
        mov %eax, %cr0
        ljmp $0x700, $(real - BASE)
real:   xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %fs
        mov %ax, %gs
        mov $0x800, %ax
        mov %ax, %ss
        mov $0xf00, %esp
        lidtl %cs:(idt_real - BASE)
        # All vectors go to their stubs, 4 bytes apart: push imm8; jmp +.
        xor %di, %di
        mov $(stubs - BASE), %ax
        mov $32, %cx
1:      movw %ax, (%di)
        movw $0x700, 2(%di)
        add $4, %di
        add $(stub_1 - stub_0), %ax
        loop 1b
        jmp tests

        .macro stub n
        .byte 0x6a, \n
        jmp caught
        .endm
        .altmacro
stubs:
stub_0: stub 0
stub_1: stub 1
        .set i, 2
        .rept 30
        stub %i
        .set i, i + 1
        .endr
        .noaltmacro

# Prints "v=.. ip=.. cs=.. fl=.. sp=.." and goes on at the address in %cs:resume with the old stack.
caught: push %ds
        pushal
        push %cs
        pop %ds
        mov %esp, %ebp
        mov $(text_v - BASE), %si
        call puts
        mov 34(%bp), %ax
        call hex
        mov $(text_ip - BASE), %si
        call puts
        mov 36(%bp), %ax
        call hex
        mov $(text_cs - BASE), %si
        call puts
        mov 38(%bp), %ax
        call hex
        mov $(text_fl - BASE), %si
        call puts
        mov 40(%bp), %ax
        call hex
        mov $(text_sp - BASE), %si
        call puts
        lea 42(%bp), %ax
        call hex
        mov $0x0a, %al
        out %al, $0xe9
        popal
        pop %ds
        add $2, %sp
        mov $0xf00, %sp
        jmp *%cs:(resume - BASE)

puts:   mov (%si), %al
        inc %si
        test %al, %al
        jz 2f
        out %al, $0xe9
        jmp puts
2:      ret
hex:    mov $4, %cx
        mov %ax, %dx
3:      rol $4, %dx
        mov %dl, %al
        and $15, %al
        add $'0', %al
        cmp $'9', %al
        jbe 4f
        add $39, %al
4:      out %al, $0xe9
        loop 3b
        ret
# Prints AX after a name at %cs:SI.
value:  pushal
        push %ds
        push %cs
        pop %ds
        push %ax
        call puts
        pop %ax
        call hex
        mov $0x0a, %al
        out %al, $0xe9
        pop %ds
        popal
        ret

text_v:  .asciz "v="
text_ip: .asciz " ip="
text_cs: .asciz " cs="
text_fl: .asciz " fl="
text_sp: .asciz " sp="
resume:  .word 0
idt_real: .word 0x3ff
        .long 0

# A piece of code after which execution goes on behind it, whether it raised something or not.
#define TRY(...) movw $(77f - BASE), %cs:(resume - BASE); __VA_ARGS__; 77: mov $0xf00, %esp
        .macro show name, register
        mov \register, %ax
        mov $(88f - BASE), %si
        jmp 99f
88:     .asciz "\name="
99:     call value
        .endm

tests:  # Exceptions and software interrupts.
        TRY(xor %ax, %ax; div %al)
        TRY(int3)
        TRY(int $3)
        TRY(int $0x12)
        movb $0x7f, %al
        TRY(add $1, %al; into)
        TRY(add $0, %al; into)
        movw $5, 0x5000
        movw $9, 0x5002
        mov $4, %ax
        TRY(bound %ax, 0x5000)
        mov $9, %ax
        TRY(bound %ax, 0x5000)
        mov $10, %ax
        TRY(bound %ax, 0x5000)
        TRY(ud2)
        TRY(.byte 0x0f, 0x00, 0xc0)    # SLDT
        TRY(.byte 0x0f, 0x00, 0xd8)    # LTR
        TRY(.byte 0x0f, 0x02, 0xc0)    # LAR
        TRY(.byte 0x63, 0xc0)          # ARPL
        TRY(.byte 0x8e, 0xc8)          # MOV CS
        TRY(.byte 0xf0, 0x90)          # LOCK NOP
        # Single step: TF, then one instruction.
        mov $0x0102, %ax
        TRY(push %ax; popf; nop; nop)
        # Flags: what POPF and PUSHF see.
        pushl $0x003ffed7
        popfl
        pushfl
        pop %eax
        and $~0x100, %eax
        show popfl, %ax
        shr $16, %eax
        show high, %ax
        pushw $0x7002
        popf
        pushf
        pop %ax
        show popf, %ax
        pushw $2
        popf
        # IRET with each operand size.
        pushw $0x0ed7 & ~0x100
        push %cs
        pushw $(5f - BASE)
        iretw
5:      pushf
        pop %ax
        show iret, %ax
        pushl $0x00040ed7 & ~0x100
        pushl $0x12340700
        pushl $(6f - BASE)
        iretl
6:      pushfl
        pop %eax
        shr $16, %eax
        show iretl, %ax
        pushl $2
        popfl
        # Far calls and returns.
        lcallw $0x6f0, $(7f - BASE + 0x100)
        show sp, %sp
        jmp 8f
7:      mov %cs, %ax
        show far, %ax
        lretw
8:      pushw $0x1111
        lcalll $0x700, $(9f - BASE)
        show sp32, %sp
        jmp 10f
9:      mov %sp, %bp
        mov 4(%bp), %ax
        show pushed, %ax
        lretl $2
10:     mov $0xf00, %sp
        # Addresses wrap at 64 KiB; words at FFFF do not exist.
        mov $0xfff0, %bx
        mov $0x0020, %si
        movb $0x5a, 0x10
        mov (%bx, %si), %al
        show wrap, %ax
        # LGDT, SMSW, MOV CR0.
        smsw %ax
        show smsw, %ax
        sgdtl 0x5000
        mov 0x5000, %ax
        show gdt, %ax
        # Segments: base is the selector times 16.
        mov $0x1234, %ax
        mov %ax, %fs
        movw $0xbeef, %fs:0x10
        xor %ax, %ax
        mov %ax, %es
        mov %es:0x12350 & 0xffff, %ax
        mov $0x1235, %ax
        mov %ax, %es
        mov %es:0, %ax
        show segment, %ax
        les %cs:(pointer - BASE), %di
        show les, %di
        mov %es, %ax
        show es, %ax
        # Protected mode for a moment: segments of 4 GiB stay ("unreal mode").
        cli
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        mov $0x18, %bx
        mov %bx, %ds
        mov %bx, %es
        and $~1, %al
        mov %eax, %cr0
        xor %ax, %ax
        mov %ax, %ds
        mov $0x1000, %bx
        mov %bx, %es
        mov $0x00600000, %ebx
        movl $0x13572468, (%ebx)
        mov %es:-0x10000(%ebx), %eax
        show unreal, %ax
        mov $0x600000, %esi
        mov $0x700000, %edi
        mov $0x10000, %edi
        mov $2, %ecx
        addr32 rep movsw
        show esi, %si
        # STI, CLI, CLTS and debug registers work at once.
        sti
        pushf
        pop %ax
        cli
        show sti, %ax
        mov %cr0, %eax
        or $8, %al
        mov %eax, %cr0
        clts
        mov %cr0, %eax
        show cr0, %ax
        # ENTER, PUSHA, strings with overrides, BCD.
        enter $0x10, $0
        show enter, %sp
        leave
        show leave, %sp
        pusha
        show pusha, %sp
        popa
        mov $0x0905, %ax
        aam
        aad
        show bcd, %ax
        mov $0x29, %al
        add $0x19, %al
        daa
        show daa, %ax
        mov $(end_text - BASE), %si
        push %cs
        pop %ds
        call puts
11:     mov $0, %al
        out %al, $0xf4
        jmp 11b
pointer: .word 0x4321, 0x2000
end_text: .asciz "end\n"
code16_end:
