# Start of the 32-bit programs, and the machinery that runs pieces of code and catches what they raise.
        .code32
        .section .header, "a"
        .include "multiboot.inc"
        .text
        .globl start
start:
        cli
        cld
        lgdt gdt_pointer
        ljmp $8, $1f
1:      mov $16, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov %eax, %fs
        mov %eax, %gs
        mov $main_stack, %esp
        pushl $2
        popf
        call build_idt
        lidt idt_pointer
        call main
        hlt

# Fills the interrupt table with 32-bit interrupt gates, DPL 0, to the stubs.
        .globl build_idt
build_idt:
        xor %ecx, %ecx
2:      lea (%ecx, %ecx, 4), %eax       # stubs are 10 bytes apart
        lea stubs(%eax, %eax), %eax
        movw %ax, idt(, %ecx, 8)
        movw $8, idt + 2(, %ecx, 8)
        movw $0x8e00, idt + 4(, %ecx, 8)
        shr $16, %eax
        movw %ax, idt + 6(, %ecx, 8)
        inc %ecx
        cmp $256, %ecx
        jb 2b
        ret

# void enter(struct context *): loads everything and goes there. Comes back through the stubs.
        .globl enter
enter:
        pushf
        pusha
        mov %esp, saved_esp
        mov 40(%esp), %esi
        mov %esi, current
        mov 4(%esi), %eax               # cs
        test $0x20000, 8(%esi)          # eflags.VM
        jnz to_v86
        and $3, %eax
        jnz to_outer
        # Same level: SS:ESP by hand, a three-word frame.
        lss 12(%esi), %esp
        pushl 8(%esi)
        pushl 4(%esi)
        pushl 0(%esi)
        jmp load
to_outer:
        pushl 16(%esi)
        pushl 12(%esi)
        pushl 8(%esi)
        pushl 4(%esi)
        pushl 0(%esi)
        jmp load
to_v86:
        pushl 32(%esi)
        pushl 28(%esi)
        pushl 20(%esi)
        pushl 24(%esi)
        pushl 16(%esi)
        pushl 12(%esi)
        pushl 8(%esi)
        pushl 4(%esi)
        pushl 0(%esi)
        mov 36(%esi), %eax
        mov 40(%esi), %ecx
        mov 44(%esi), %edx
        mov 48(%esi), %ebx
        mov 52(%esi), %ebp
        mov 60(%esi), %edi
        mov 56(%esi), %esi
        iret
load:
        mov 24(%esi), %es
        mov 28(%esi), %fs
        mov 32(%esi), %gs
        mov 36(%esi), %eax
        mov 40(%esi), %ecx
        mov 44(%esi), %edx
        mov 48(%esi), %ebx
        mov 52(%esi), %ebp
        mov 60(%esi), %edi
        pushl 20(%esi)
        pushl 56(%esi)
        pop %esi
        pop %ds
        iret

# One stub per vector: its number, then on to `caught`.
        .globl stubs
stubs:
        .set vector, 0
        .rept 256
        .byte 0x68
        .long vector
        .byte 0xe9
        .long caught - (. + 4)
        .set vector, vector + 1
        .endr

# The stack holds the vector, perhaps an error code, and the frame. Nothing about the interrupted code is trusted.
caught:
        pusha
        push %ds
        push %es
        push %fs
        push %gs
        mov %ss, %eax
        push %eax
        mov $16, %ecx
        mov %ecx, %ds
        mov %ecx, %es
        mov %ecx, %fs
        mov %ecx, %gs
        cld
        mov %esp, %esi                  # through SS: its base is 0 in all handlers
        mov $outcome, %edi
        mov $32, %ecx
        mov %esp, outcome_esp
        rep movsl %ss:(%esi), %es:(%edi)
        mov %cr2, %eax
        mov %eax, outcome_cr2
        mov $16, %eax
        mov %eax, %ss
        mov saved_esp, %esp
        popa
        popf
        ret

        .data
        .align 8
        .globl gdt, idt
gdt:
        .quad 0
        .quad 0x00cf9b000000ffff        # 08: code, DPL 0
        .quad 0x00cf93000000ffff        # 10: data, DPL 0
        .quad 0x00cffb000000ffff        # 18: code, DPL 3
        .quad 0x00cff3000000ffff        # 20: data, DPL 3
        .fill 59, 8, 0
        .globl gdt_pointer, idt_pointer
gdt_pointer:
        .word 64 * 8 - 1
        .long gdt
idt_pointer:
        .word 256 * 8 - 1
        .long idt
        .bss
        .align 4096
        .globl saved_esp, current, outcome, outcome_esp, outcome_cr2, ring0_stack, main_stack
idt:    .skip 2048
saved_esp: .skip 4
current: .skip 4
outcome: .skip 128
outcome_esp: .skip 4
outcome_cr2: .skip 4
        .align 4096
        .skip 8192
ring0_stack:
        .skip 64
        .skip 8192
main_stack:
        .skip 64
