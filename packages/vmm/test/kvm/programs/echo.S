# Real mode: sends back what COM1 receives, with bit 5 changed, by interrupts; sleeps in HLT. ESC resets the machine, a
# newline adds the number of starts, kept in RAM that loading does not touch.
        .include "print16.inc"

        .set starts, 0x6000

start:
        cli
        cld
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %ss
        mov $0x7000, %sp
        movw $serial, 0x24 * 4
        movw $0, 0x24 * 4 + 2
        mov $0x11, %al
        out %al, $0x20
        mov $0x20, %al
        out %al, $0x21
        mov $4, %al
        out %al, $0x21
        mov $1, %al
        out %al, $0x21
        mov $0xef, %al
        out %al, $0x21
        mov $0x3fc, %dx
        mov $8, %al
        out %al, %dx
        mov $0x3f9, %dx
        mov $1, %al
        out %al, %dx
        incb starts
        mov $0x3f8, %dx
        mov $0x21, %al
        out %al, %dx
1:      sti
        hlt
        jmp 1b

serial: push %ax
        push %dx
        mov $0x3f8, %dx
        in %dx, %al
        cmp $27, %al
        je reset
        cmp $10, %al
        je count
        xor $0x20, %al
        jmp send
count:  mov starts, %al
        add $0x30, %al
send:   out %al, %dx
        mov $0x20, %al
        out %al, $0x20
        pop %dx
        pop %ax
        iret
reset:  mov $0xfe, %al
        out %al, $0x64
2:      hlt
        jmp 2b
