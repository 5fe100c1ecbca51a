# Flat 32-bit protected mode: memory-mapped devices, exceptions, interrupts through the I/O APIC and the local APIC, and
# the latter's timer.
        .include "print32.inc"

start:
        cli
        cld
        mov $0x7000, %esp
        mov $hello, %esi
        call print
        lidt idt_pointer
        gate 0, divide
        gate 6, invalid
        gate 0x31, serial
        gate 0x32, timer
        gate 0xff, spurious

        # Memory that nobody claims, and the I/O APIC's number of pins and a redirection entry.
        mov 0xd0000000, %eax
        call print_eax
        movl $1, io_apic
        mov io_apic + 0x10, %eax
        and $0xff0000, %eax
        call print_eax
        movl $0x18, io_apic
        movl $0x10031, io_apic + 0x10
        mov io_apic + 0x10, %eax
        call print_eax
        call newline

        # Exceptions.
        xor %edx, %edx
        xor %ecx, %ecx
        mov $7, %eax
        div %ecx
        ud2
        call newline

        # Local APIC: on, COM1's interrupt (pin 4) as vector 0x31, edge-triggered.
        movl $0x1ff, apic + 0xf0
        mov $0xff, %al
        out %al, $0x21
        out %al, $0xa1
        movl $0x19, io_apic
        mov apic + 0x20, %eax
        and $0xff000000, %eax
        mov %eax, io_apic + 0x10
        movl $0x18, io_apic
        movl $0x31, io_apic + 0x10
        mov $0x3fc, %dx
        mov $8, %al
        out %al, %dx
        mov $0x3f9, %dx
        mov $2, %al
        out %al, %dx
        call wait_for_interrupt
        mov $0x3f9, %dx
        xor %al, %al
        out %al, %dx

        # Its timer, once: divided by 1, 100,000 counts.
        movl $0xb, apic + 0x3e0
        movl $0x32, apic + 0x320
        movl $100000, apic + 0x380
        call wait_for_interrupt
        # An interrupt to itself.
        movl $0x44032, apic + 0x300
        call wait_for_interrupt
        call newline
        jmp finish

wait_for_interrupt:
        movl $0, seen
1:      sti
        hlt
        cli
        cmpl $0, seen
        je 1b
        mov seen, %eax
        jmp print_eax

divide: push %eax
        mov $0xd1, %eax
        call print_eax
        pop %eax
        addl $2, (%esp)
        return_from_interrupt
invalid:
        push %eax
        mov $0xd2, %eax
        call print_eax
        pop %eax
        addl $2, (%esp)
        return_from_interrupt
serial: movl $0x31, seen
        push %eax
        push %edx
        mov $0x3fa, %dx
        in %dx, %al
        pop %edx
        pop %eax
        movl $0, apic + 0xb0
        return_from_interrupt
timer:  movl $0x32, seen
        movl $0, apic + 0xb0
        return_from_interrupt
spurious:
        return_from_interrupt

seen:   .long 0
hello:  .asciz "protected mode\n"
