# 32-bit paging with tables of two levels: page faults with their error codes and CR2.
        .include "print32.inc"

start:
        cli
        cld
        mov $0x7000, %esp
        mov $hello, %esi
        call print
        lidt idt_pointer
        gate 14, page_fault
        # Paging: 4 MiB at 0 to itself, with a hole at 0x200000.
        mov $0x10000, %edi
        mov $0x11003, %eax
        mov %eax, (%edi)
        mov $0x11000, %edi
        mov $3, %eax
        mov $1024, %ecx
1:      stosl
        add $0x1000, %eax
        dec %ecx
        jnz 1b
        movl $0, 0x11000 + 0x200 * 4
        mov $0x10000, %eax
        mov %eax, %cr3
        mov %cr0, %eax
        or $0x80000000, %eax
        mov %eax, %cr0
        mov 0x200010, %eax
        movl $0x55, 0x200abc
        mov %cr2, %eax
        call print_eax
        mov 0x200abc, %eax
        call print_eax
        call newline

        jmp finish

# Prints the error code, then maps the page.
page_fault:
        xchg %eax, (%esp)
        call print_eax
        mov %cr2, %eax
        cmp $0x200010, %eax
        je 1f
        movl $0x100003, 0x11000 + 0x200 * 4
        invlpg 0x200000
        pop %eax
        return_from_interrupt
1:      pop %eax
        addl $5, (%esp)         # over the MOV, which reads nothing
        return_from_interrupt

hello:  .asciz "paging\n"
