# Starts the other processors by INIT and SIPI. Each says its APIC ID, uses devices, counts, and is interrupted by an IPI.
        .include "print32.inc"
        .include "processors.inc"

        .set started, 0x5000
        .set stopped, 0x5004
        .set lock, 0x5008

start:
        cli
        cld
        mov $0x7000, %esp
        movl $0, started
        movl $0, stopped
        movl $0, lock
        movl $0x1ff, apic + 0xf0
        start_processors ap, ap_end
        mov $CPUS - 1, %eax
2:      pause
        cmp %eax, started
        jb 2b
        call print_eax
        # Everybody waits in HLT for an NMI, which counts too.
        movl $0xc4400, apic + 0x300
3:      pause
        cmp %eax, stopped
        jb 3b
        call print_eax
        call newline
        jmp finish

        .code16
ap:     cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %ss
        mov $(trampoline + ap_end - ap - 16), %bx
        # The NMI's vector.
        movw $(trampoline + ap_nmi - ap), 2 * 4
        movw $0, 2 * 4 + 2
        # One at a time: devices, and stacks of their own.
4:      mov $1, %ax
        xchg %ax, lock
        test %ax, %ax
        jnz 4b
        mov $0x8000, %sp
        mov started, %ax
        shl $8, %ax
        sub %ax, %sp
        mov $0x3a, %al
        out %al, $0xe9
        mov $0x0d, %al
        out %al, $0x70
        in $0x71, %al
        shr $4, %al
        add $0x30, %al
        out %al, $0xe9
        mov $10, %al
        out %al, $0xe9
        incl started
        movw $0, lock
5:      hlt
        jmp 5b
ap_nmi: lock incl stopped
6:      cli
        hlt
        jmp 6b
ap_end:
