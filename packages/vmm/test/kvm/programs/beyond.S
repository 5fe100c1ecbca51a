# Instructions that KVM's emulator does not know, in 64-bit supervisor mode, and with operands in devices' memory, where
# every KVM needs its emulator.
        .include "print64.inc"

        .set nothing, 0xfed80000        # no device is there
        .set area, 0x20000

start:
        cli
        cld
        mov $0x7000, %esp
        mov %cr4, %rax
        or $0x600, %rax
        mov %rax, %cr4
        mov %cr0, %rax
        and $~4, %rax
        mov %rax, %cr0
        # CMPXCHG16B that changes, and that does not.
        mov $1, %eax
        mov $2, %edx
        mov $3, %ebx
        mov $4, %ecx
        lock cmpxchg16b pair(%rip)
        pushf
        pop %rax
        and $0x40, %eax
        call print_rax
        xor %edx, %edx
        lock cmpxchg16b pair(%rip)
        call print_rax
        mov %rdx, %rax
        call print_rax
        # x87 and SSE registers through FXSAVE and FXRSTOR.
        fninit
        fldpi
        movdqu values(%rip), %xmm7
        fxsave area
        fninit
        pxor %xmm7, %xmm7
        fxrstor area
        fistpll area + 512
        mov area + 512, %rax
        call print_rax
        movq %xmm7, %rax
        call print_rax
        # Arithmetic on a vector in memory that nobody has: ones.
        mov $nothing, %ebx
        paddd (%rbx), %xmm7
        movq %xmm7, %rax
        call print_rax
        movhlps %xmm7, %xmm7
        movq %xmm7, %rax
        call print_rax
        # IRET to the same level.
        mov %ss, %eax
        push %rax
        pushq $0x6f00
        pushq $0x8d7
        mov %cs, %eax
        push %rax
        pushq $1f
        iretq
1:      pushf
        pop %rax
        call print_rax
        mov %rsp, %rax
        call print_rax
        jmp finish

        .align 16
pair:   .quad 1, 2
values: .quad 0x0000000100000002, 0x0f1e2d3c4b5a6978
