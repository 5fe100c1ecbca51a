# A load in user mode of 64 bits, which KVM executes at full speed everywhere: a checksum over 20 million steps, its
# result printed with IOPL 3. SYSEXIT gets there, or IRETQ where a processor has no SYSEXIT in 64-bit mode.
        .code64
        .text
        jmp start

start:
        cli
        cld
        mov $0x7000, %esp
        # The identity map's first entries are for user mode too.
        mov %cr3, %rax
        orb $4, (%rax)
        mov (%rax), %rax
        and $-4096, %rax
        orb $4, (%rax)
        mov (%rax), %rax
        and $-4096, %rax
        orb $4, (%rax)
        mov %cr3, %rax
        mov %rax, %cr3
        lgdt gdt_pointer
        lidt idt_pointer
        mov $invalid, %eax
        mov %ax, idt + 6 * 16
        shr $16, %eax
        mov %ax, idt + 6 * 16 + 6
        mov $0x174, %ecx
        mov $8, %eax
        xor %edx, %edx
        wrmsr
        pushq $0x3002
        popf
        mov $user, %edx
        mov $0x6800, %ecx
        rex.w sysexit
invalid:
        mov $0x28 | 3, %eax
        pushq $0x30 | 3
        pushq $0x6800
        pushq $0x3002
        push %rax
        pushq $user
        iretq

user:   mov $20000000, %ecx
        mov $1, %eax
1:      lea (%rax, %rax, 2), %edx
        add %ecx, %edx
        xor %edx, %eax
        rol $5, %eax
        dec %ecx
        jnz 1b
        mov $8, %ecx
2:      rol $4, %eax
        mov %eax, %ebx
        and $15, %eax
        add $0x61, %al
        out %al, $0xe9
        mov %ebx, %eax
        dec %ecx
        jnz 2b
        mov %cs, %eax
        and $3, %eax
        add $0x30, %al
        out %al, $0xe9
        mov $0, %al
        out %al, $0xf4
3:      jmp 3b

        .align 16
# Null; code and data of ring 0; unused 32-bit ones, since SYSEXIT takes those after them; code and data of ring 3.
gdt:    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff
        .quad 0x00affb000000ffff, 0x00cff3000000ffff
gdt_pointer:
        .word . - gdt - 1
        .quad gdt
        .align 16
idt:    .fill 12, 8, 0
        .word 0, 0x10, 0x8e00, 0
        .quad 0
idt_pointer:
        .word . - idt - 1
        .quad idt
