# Real mode at 0x7c00: port I/O of all kinds, the 8259A and the 8254, the RTC through the second 8259A, the i8042, COM1.
        .include "print16.inc"

start:
        cli
        cld
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %es
        mov %ax, %ss
        mov $0x7000, %sp

        # A string instruction to a port.
        mov $hello, %si
        mov $(hello_end - hello), %cx
        mov $0xe9, %dx
        rep outsb

        # Ports that nobody claims, in three widths.
        mov $0x5000, %dx
        in %dx, %al
        call print_al
        in %dx, %ax
        call print_ax
        in %dx, %eax
        call print_eax
        # From ports into memory.
        mov $buffer, %di
        mov $4, %cx
        rep insb
        mov buffer, %eax
        call print_eax
        call newline

        # The keyboard controller's self test.
        mov $0xaa, %al
        out %al, $0x64
1:      in $0x64, %al
        test $1, %al
        jz 1b
        in $0x60, %al
        call print_al
        # CMOS: valid RAM and time.
        mov $0x0d, %al
        out %al, $0x70
        in $0x71, %al
        call print_al
        # COM1 in loopback: a byte comes back.
        mov $0x3fc, %dx
        mov $0x10, %al
        out %al, %dx
        mov $0x3f8, %dx
        mov $0x5a, %al
        out %al, %dx
        mov $0x3fd, %dx
2:      in %dx, %al
        test $1, %al
        jz 2b
        mov $0x3f8, %dx
        in %dx, %al
        call print_al
        mov $0x3fc, %dx
        xor %al, %al
        out %al, %dx
        call newline

        # Interrupts: IRQ 0 at vector 0x20, IRQ 8 at 0x28; all others masked.
        movw $tick, 0x20 * 4
        movw $0, 0x20 * 4 + 2
        movw $clock, 0x28 * 4
        movw $0, 0x28 * 4 + 2
        mov $0x11, %al
        out %al, $0x20
        out %al, $0xa0
        mov $0x20, %al
        out %al, $0x21
        mov $0x28, %al
        out %al, $0xa1
        mov $4, %al
        out %al, $0x21
        mov $2, %al
        out %al, $0xa1
        mov $1, %al
        out %al, $0x21
        out %al, $0xa1
        mov $0xfa, %al
        out %al, $0x21
        mov $0xfe, %al
        out %al, $0xa1
        # 8254 counter 0, mode 2, about 200 Hz.
        mov $0x34, %al
        out %al, $0x43
        mov $0x4d, %al
        out %al, $0x40
        mov $0x17, %al
        out %al, $0x40
        # RTC: periodic interrupt at 128 Hz.
        mov $0x0a, %al
        out %al, $0x70
        mov $0x29, %al
        out %al, $0x71
        mov $0x0b, %al
        out %al, $0x70
        mov $0x42, %al
        out %al, $0x71
        mov $waiting, %si
        call print
3:      sti
        hlt
        cli
        cmpw $5, ticks
        jb 3b
        cmpw $3, clocks
        jb 3b
        mov $interrupts, %si
        call print
        # An exception and a software interrupt.
        movw $divide, 0
        movw $0, 2
        movw $software, 0x40 * 4
        movw $0, 0x40 * 4 + 2
        xor %dx, %dx
        xor %cx, %cx
        mov $1, %ax
        div %cx
        mov $0x1234, %ax
        int $0x40
        call print_ax
        call newline
        jmp finish

tick:   push %ax
        incw ticks
        mov $0x20, %al
        out %al, $0x20
        pop %ax
        iret
clock:  push %ax
        incw clocks
        mov $0x0c, %al
        out %al, $0x70
        in $0x71, %al
        mov $0x20, %al
        out %al, $0xa0
        out %al, $0x20
        pop %ax
        iret
divide: push %bp
        mov %sp, %bp
        addw $2, 2(%bp)
        pop %bp
        mov $0xd1, %al
        call print_al
        iret
software:
        not %ax
        iret

ticks:  .word 0
clocks: .word 0
buffer: .long 0
hello:  .ascii "real mode\n"
hello_end:
waiting: .asciz "waiting for "
interrupts: .asciz "timer and clock\n"
