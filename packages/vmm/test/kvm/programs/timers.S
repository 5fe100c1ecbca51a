# Three timers that interrupt through the I/O APIC and the local APIC: the 8254 (P, edge), the local APIC's own (L) and the
# RTC (R, level), which goes to the last of CPUS processors. Each interrupt prints its letter and number. Ends when each has
# come LAST times.
        .include "print32.inc"
        .include "processors32.inc"

        .ifndef LAST
        .set LAST, 0x20
        .endif

        # One processor at a time prints: takes the lock.
        .macro take_turn
8:      mov $1, %eax
        xchg %eax, lock
        test %eax, %eax
        jnz 8b
        .endm

start:
        cli
        cld
        mov $0x7000, %esp
        lidt idt_pointer
        gate 0x30, pit
        gate 0x31, local
        gate 0x41, clock
        gate 0xff, spurious
        movl $0x1ff, apic + 0xf0
        mov $0xff, %al
        out %al, $0x21
        out %al, $0xa1
        .if CPUS > 1
        start_processors32
2:      pause
        cmpl $(CPUS - 1), others
        jb 2b
        .endif
        # Pin 2 to this processor, pin 8 to the last.
        movl $0x14, io_apic
        movl $0x30, io_apic + 0x10
        movl $0x21, io_apic
        movl $((CPUS - 1) << 24), io_apic + 0x10
        movl $0x20, io_apic
        movl $0x8041, io_apic + 0x10
        # 8254: mode 2, 100 Hz.
        mov $0x34, %al
        out %al, $0x43
        mov $0x9c, %al
        out %al, $0x40
        mov $0x2e, %al
        out %al, $0x40
        # Local APIC's timer: periodic, divided by 2, 125 Hz.
        movl $0, apic + 0x3e0
        movl $0x20031, apic + 0x320
        movl $4000000, apic + 0x380
        # RTC: periodic, 64 Hz.
        mov $0x0a, %al
        out %al, $0x70
        mov $0x2a, %al
        out %al, $0x71
        mov $0x0b, %al
        out %al, $0x70
        mov $0x42, %al
        out %al, $0x71

1:      sti
        hlt
        cli
        cmpl $LAST, pits
        jb 1b
        cmpl $LAST, locals
        jb 1b
        cmpl $LAST, clocks
        jb 1b
        # The other processor may be printing still.
        take_turn
        jmp finish

        .macro count letter, counter
        push %eax
        take_turn
        mov $\letter, %al
        out %al, $0xe9
        incl \counter
        mov \counter, %eax
        call print_eax
        movl $0, lock
        pop %eax
        movl $0, apic + 0xb0
        return_from_interrupt
        .endm

pit:    count 0x50, pits
local:  count 0x4c, locals
clock:  push %eax
        mov $0x0c, %al
        out %al, $0x70
        in $0x71, %al
        pop %eax
        count 0x52, clocks
spurious:
        return_from_interrupt

joined: movl $0x1ff, apic + 0xf0
        lock incl others
4:      sti
        hlt
        jmp 4b

        .align 4
lock:   .long 0
others: .long 0
pits:   .long 0
locals: .long 0
clocks: .long 0
