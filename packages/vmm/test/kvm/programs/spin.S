# Real mode: a loop that never leaves the guest, with interrupts off.
        .code16
        .text
1:      jmp 1b
