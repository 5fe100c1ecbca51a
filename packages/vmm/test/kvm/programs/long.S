# 64-bit mode: registers and addresses beyond 32 bits, string instructions, SSE, MSRs, CPUID's mode.
        .include "print64.inc"

start:
        cli
        cld
        mov $0x7000, %esp
        movabs $0x123456789abcdef0, %rax
        mov %rax, %r15
        rol $12, %r15
        mov %r15, %rax
        call print_rax
        movabs $0xfedcba9876543210, %rcx
        mul %rcx
        mov %rdx, %rax
        call print_rax
        # A string instruction over two pages.
        mov $0x20ff0, %edi
        mov %rcx, %rax
        mov $8, %ecx
        rep stosq
        mov 0x21020, %rax
        call print_rax
        # EFER, FS base.
        mov $0xc0000080, %ecx
        rdmsr
        and $0x500, %eax
        call print_rax
        mov $0xc0000100, %ecx
        mov $0x1000, %eax
        mov $0x7, %edx
        wrmsr
        rdmsr
        shl $32, %rdx
        or %rdx, %rax
        call print_rax
        xor %eax, %eax
        xor %edx, %edx
        wrmsr
        # SSE2 as far as loads and stores.
        mov %cr4, %rax
        or $0x600, %rax
        mov %rax, %cr4
        movdqu values(%rip), %xmm1
        movdqu %xmm1, 0x20000
        mov 0x20008, %rax
        call print_rax
        # Bits of the flags after an addition.
        mov $-1, %rax
        add $1, %rax
        pushf
        pop %rax
        and $0x8d5, %eax
        call print_rax
        # A page of the identity map above the RAM: nobody's memory.
        movabs $0xd0000000, %rbx
        mov (%rbx), %rax
        call print_rax
        jmp finish

values: .quad 0x0123456789abcdef, 0x0f1e2d3c4b5a6978
