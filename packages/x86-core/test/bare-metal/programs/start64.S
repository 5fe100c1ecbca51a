# Start of the 64-bit programs: from Multiboot's 32-bit mode to 64-bit mode, and the machinery of start32.S again.
        .code32
        .section .header, "a"
        .include "multiboot.inc"
        .text
        .globl start
start:
        cli
        cld
        # Identity mapping of the first 4 GiB by 2 MiB pages: supervisor; and of the first 32 MiB at 1 TiB for user mode.
        mov $page_directories, %edi
        mov $0x83, %eax
        xor %edx, %edx
        mov $2048, %ecx
1:      mov %eax, (%edi)
        movl $0, 4(%edi)
        add $0x200000, %eax
        add $8, %edi
        loop 1b
        mov $pdpt, %edi
        mov $page_directories + 3, %eax
        mov $4, %ecx
2:      mov %eax, (%edi)
        add $4096, %eax
        add $8, %edi
        loop 2b
        mov $user_directory, %edi
        mov $0x87, %eax
        mov $16, %ecx
3:      mov %eax, (%edi)
        add $0x200000, %eax
        add $8, %edi
        loop 3b
        movl $user_directory + 7, user_pdpt
        movl $pdpt + 3, pml4
        movl $user_pdpt + 7, pml4 + 2 * 8
        mov $0x620, %eax                # CR4: PAE, OSFXSR, OSXMMEXCPT
        mov %eax, %cr4
        mov $pml4, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        mov $0x901, %eax                # EFER: SCE, LME, NXE
        xor %edx, %edx
        wrmsr
        mov $0x80010033, %eax
        mov %eax, %cr0
        lgdt gdt_pointer
        ljmp $8, $4f
        .code64
4:      mov $16, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov %eax, %fs
        mov %eax, %gs
        mov $main_stack, %esp
        pushq $2
        popfq
        call build_idt
        lidt idt_pointer
        call main
        hlt

        .globl build_idt
build_idt:
        xor %ecx, %ecx
5:      lea (%rcx, %rcx, 4), %eax       # stubs are 10 bytes apart
        lea stubs(%rax, %rax), %eax
        mov %ecx, %edx
        shl $4, %edx
        movw %ax, idt(%rdx)
        movw $8, idt + 2(%rdx)
        movw $0x8e00, idt + 4(%rdx)
        shr $16, %eax
        mov %eax, idt + 6(%rdx)
        movw $0, idt + 10(%rdx)
        movl $0, idt + 12(%rdx)
        inc %ecx
        cmp $256, %ecx
        jb 5b
        ret

# void enter(struct context *rdi)
        .globl enter
enter:
        pushfq
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        mov %rsp, saved_rsp
        pushq 32(%rdi)                  # ss
        pushq 24(%rdi)                  # rsp
        pushq 16(%rdi)                  # rflags
        pushq 8(%rdi)                   # cs
        pushq 0(%rdi)                   # rip
        mov 40(%rdi), %eax              # ds, es, fs, gs
        mov %eax, %ds
        mov %eax, %es
        mov 48(%rdi), %rax
        mov 56(%rdi), %rcx
        mov 64(%rdi), %rdx
        mov 72(%rdi), %rbx
        mov 80(%rdi), %rbp
        mov 88(%rdi), %rsi
        mov 104(%rdi), %r8
        mov 112(%rdi), %r9
        mov 120(%rdi), %r10
        mov 128(%rdi), %r11
        mov 136(%rdi), %r12
        mov 144(%rdi), %r13
        mov 96(%rdi), %rdi
        iretq

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

        .globl caught
caught:
        push %r13
        push %r12
        push %r11
        push %r10
        push %r9
        push %r8
        push %rdi
        push %rsi
        push %rbp
        push %rbx
        push %rdx
        push %rcx
        push %rax
        cld
        mov %rsp, %rsi
        mov %rsp, outcome_rsp
        mov $outcome, %edi
        mov $24, %ecx
        rep movsq
        mov %cr2, %rax
        mov %rax, outcome_cr2
        mov %ss, %eax
        mov %eax, outcome_ss
        mov $16, %eax
        mov %eax, %ss
        mov %eax, %ds
        mov %eax, %es
        mov saved_rsp, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        popfq
        ret

        .data
        .align 16
        .globl gdt, gdt_pointer, idt_pointer
gdt:
        .quad 0
        .quad 0x00af9b000000ffff        # 08: 64-bit code, DPL 0
        .quad 0x00cf93000000ffff        # 10: data, DPL 0
        .quad 0x00cffb000000ffff        # 18: 32-bit code, DPL 3
        .quad 0x00cff3000000ffff        # 20: data, DPL 3
        .quad 0x00affb000000ffff        # 28: 64-bit code, DPL 3
        .fill 58, 8, 0
gdt_pointer:
        .word 64 * 8 - 1
        .quad gdt
idt_pointer:
        .word 256 * 16 - 1
        .quad idt
        .bss
        .align 4096
        .globl idt, saved_rsp, outcome, outcome_rsp, outcome_cr2, outcome_ss, ring0_stack, main_stack, ist_stack
        .globl pml4, pdpt, page_directories, user_pdpt, user_directory
idt:    .skip 4096
pml4:   .skip 4096
pdpt:   .skip 4096
user_pdpt: .skip 4096
user_directory: .skip 4096
page_directories: .skip 16384
saved_rsp: .skip 8
outcome: .skip 192
outcome_rsp: .skip 8
outcome_cr2: .skip 8
outcome_ss: .skip 8
        .align 4096
        .skip 8192
ring0_stack:
        .skip 64
        .skip 4032
ist_stack:
        .skip 8192
        .skip 8192
main_stack:
        .skip 64
