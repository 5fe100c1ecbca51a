# All processors, in 64-bit mode, count the same pair of numbers up and down by CMPXCHG16B, which must be atomic even
# where KVM does not know it.
        .include "print64.inc"
        .include "processors.inc"

        .set apic, 0xfee00000

        .set ROUNDS, 200

# Prints EAX in hexadecimal and a space.
print_eax:
        shl $32, %rax
        mov $8, %ecx
        call print_digits
        mov $32, %al
        out %al, $0xe9
        ret

start:
        cli
        cld
        mov $0x7000, %esp
        mov %cr3, %rax
        mov %eax, trampoline_cr3
        mov $apic, %ebx
        movl $0x1ff, 0xf0(%rbx)
        start_processors ap, ap_end, 0x300(%rbx)
        call count
2:      pause
        cmpl $CPUS, done
        jb 2b
        mov pair, %rax
        call print_eax
        mov pair + 8, %rax
        neg %rax
        call print_eax
        jmp finish

# The low number up, the high one down.
count:  mov $ROUNDS, %esi
1:      mov pair, %rax
        mov pair + 8, %rdx
2:      mov %rax, %rbx
        mov %rdx, %rcx
        inc %rbx
        dec %rcx
        lock cmpxchg16b pair
        jnz 2b
        dec %esi
        jnz 1b
        lock incl done
        ret

# From real mode to 64-bit mode at once (SDM vol. 3, 10.8.5, without a step in between).
        .code16
ap:     cli
        xor %ax, %ax
        mov %ax, %ds
        mov %ax, %ss
        lgdtl gdt_pointer
        mov $0x20, %eax
        mov %eax, %cr4
        mov trampoline_cr3, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        rdmsr
        or $0x100, %eax
        wrmsr
        mov %cr0, %eax
        or $0x80000001, %eax
        mov %eax, %cr0
        ljmpl $8, $long
ap_end:
        .code64
long:   mov $16, %eax
        mov %eax, %ss
        mov $1, %esp
        lock xadd %esp, stacks
        shl $8, %esp
        add $0x8000, %esp
        call count
1:      hlt
        jmp 1b

        .align 16
pair:   .quad 0, 0
gdt:    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
        .word . - gdt - 1
        .long gdt
trampoline_cr3:
        .long 0
stacks: .long 1
done:   .long 0
