// A whole virtual machine: 4 KiB of memory, one processor in real mode, one port to talk through.
import { createSharedMemory, Kvm } from "@softmetal/kvm-binding";

const program = [
  ...[0xbe, 0x10, 0x10], //       mov si, 0x1010     ; the text
  ...[0xac], //             next: lodsb
  ...[0x84, 0xc0], //             test al, al
  ...[0x74, 0x04], //             jz stop
  ...[0xe6, 0xe9], //             out 0xe9, al
  ...[0xeb, 0xf7], //             jmp next
  ...[0xf4], //             stop: hlt
];
const memory = createSharedMemory(4096);
memory.set(program);
memory.set(new TextEncoder().encode("Hello from ring 0\n\0"), 0x10);

const kvm = Kvm.open(); // throws KvmUnavailable, with the reason, where there is no KVM
const vm = kvm.createVm();
vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0x1000, memory });
const vcpu = vm.createVcpu(0);

const sregs = vcpu.getSregs();
sregs.cs.base = 0n;
sregs.cs.selector = 0;
vcpu.setSregs(sregs);
vcpu.setRegs({ rip: 0x1000n, rflags: 2n });

let text = "";
for (let exit = vcpu.run(); exit.reason !== "hlt"; exit = vcpu.run()) {
  if (exit.reason !== "io" || exit.direction !== "out") throw new Error(`unexpected exit: ${exit.reason}`);
  text += String.fromCharCode(exit.value);
}
console.log(text);

for (const handle of [vcpu, vm, kvm]) handle.dispose(); // or `using`, where the language has it
