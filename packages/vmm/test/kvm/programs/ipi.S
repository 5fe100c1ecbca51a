# Messages between local APICs, and level-triggered interrupts of devices, to the last of CPUS processors (which is this
# one when there is one): physical, logical and lowest-priority destinations, NMI. Says the same however many there are.
        .include "print32.inc"
        .include "processors32.inc"

        .set target, CPUS - 1
        .set everybody, (1 << CPUS) - 1

start:
        cli
        cld
        mov $0x7000, %esp
        lidt idt_pointer
        gate 2, nmi
        gate 0x50, message
        gate 0x51, serial
        gate 0x52, clock
        gate 0xff, spurious
        mov $0xff, %al
        out %al, $0x21
        out %al, $0xa1
        call prepare
        .if CPUS > 1
        start_processors32
        .endif
        mov $CPUS, %ebx
        mov $online, %esi
        call wait
        sub $CPUS, %eax
        call print_eax
        sti

        # send(command, destination)
        .macro send command, destination
        movl $((\destination) << 24), apic + 0x310
        movl $(\command), apic + 0x300
        .endm
        # expect(counter, value): waits for it and prints it.
        .macro expect counter, value
        mov $\value, %ebx
        mov $\counter, %esi
        call wait
        call print_eax
        .endm

        # Fixed, to a physical and a logical destination; to everybody; lowest priority among everybody.
        send 0x4050, target
        expect messages, 1
        send 0x4850, 1 << target
        expect messages, 2
        movl $0x84050, apic + 0x300
        mov $messages, %esi
        mov $(2 + CPUS), %ebx
        call wait
        sub $CPUS, %eax
        call print_eax
        movl $0, messages
        send 0x4950, everybody
        expect messages, 1
        call newline

        # COM1, level-triggered, to a physical destination. The first handler ends it without looking after COM1, and so it
        # comes again.
        mov $0x18, %edx
        mov $0x8051, %eax
        mov $(target << 24), %ecx
        call route
        movl $1, careless
        mov $0x3fc, %dx
        mov $8, %al
        out %al, %dx
        mov $0x3f9, %dx
        mov $2, %al
        out %al, %dx
        expect serials, 2
        # Remote IRR: while the interrupt is in service, and afterwards.
        mov remote, %eax
        call print_eax
        mov $10000, %ecx
1:      movl $0x18, io_apic
        mov io_apic + 0x10, %eax
        and $0x4000, %eax
        jz 2f
        dec %ecx
        jnz 1b
2:      call print_eax
        # The same by lowest priority.
        mov $0x3f9, %dx
        xor %al, %al
        out %al, %dx
        mov $0x18, %edx
        mov $0x8951, %eax
        mov $(everybody << 24), %ecx
        call route
        movl $0, serials
        mov $0x3f9, %dx
        mov $2, %al
        out %al, %dx
        expect serials, 1
        call newline

        # The RTC, level-triggered, to a logical destination: periodic at 1024 Hz, each looked after by the handler.
        mov $0x20, %edx
        mov $0x8852, %eax
        mov $((1 << target) << 24), %ecx
        call route
        mov $0x0a, %al
        out %al, $0x70
        mov $0x26, %al
        out %al, $0x71
        mov $0x0b, %al
        out %al, $0x70
        mov $0x42, %al
        out %al, $0x71
        mov $5, %ebx
        mov $clocks, %esi
        call wait
        movl $0x20, io_apic
        movl $0x10000, io_apic + 0x10
        cmp $5, %eax
        jb 2f
        mov $5, %eax
2:      call print_eax

        # NMI.
        send 0x4400, target
        expect nmis, 1
        call newline
        jmp finish

# Waits a while until the counter at ESI has reached EBX; gives it in EAX.
wait:   mov $300000, %ecx
1:      mov (%esi), %eax
        cmp %ebx, %eax
        jae 2f
        pause
        dec %ecx
        jnz 1b
2:      ret

# Redirection entry with register EDX: low half EAX, high half ECX.
route:  incl %edx
        mov %edx, io_apic
        mov %ecx, io_apic + 0x10
        decl %edx
        mov %edx, io_apic
        mov %eax, io_apic + 0x10
        ret

# Every processor's local APIC: logical ID by its number, on.
prepare:
        mov apic + 0x20, %ecx
        shr $24, %ecx
        mov $0x1000000, %eax
        shl %cl, %eax
        mov %eax, apic + 0xd0
        movl $0xffffffff, apic + 0xe0
        movl $0x1ff, apic + 0xf0
        lock incl online
        ret

        .macro end_of_interrupt
        movl $0, apic + 0xb0
        return_from_interrupt
        .endm

nmi:    lock incl nmis
        return_from_interrupt
message:
        lock incl messages
        end_of_interrupt
serial: push %eax
        push %edx
        movl $0x18, io_apic
        mov io_apic + 0x10, %eax
        and $0x4000, %eax
        or %eax, remote
        cmpl $0, careless
        movl $0, careless
        jne 1f
        # Only what COM1 has asked for: a KVM without hardware support interrupts once more.
        mov $0x3fa, %dx
        in %dx, %al
        test $1, %al
        jnz 2f
1:      lock incl serials
2:      pop %edx
        pop %eax
        end_of_interrupt
clock:  push %eax
        mov $0x0c, %al
        out %al, $0x70
        in $0x71, %al
        lock incl clocks
        pop %eax
        end_of_interrupt
spurious:
        return_from_interrupt

joined: call prepare
1:      sti
        hlt
        jmp 1b

        .align 4
online: .long 0
messages: .long 0
serials: .long 0
clocks: .long 0
nmis:   .long 0
careless: .long 0
remote: .long 0
