/** A boot sector that prints R and then sends back every byte that it receives on the serial port. */
export const echoGuest = Uint8Array.from([
  ...[0xba, 0xf8, 0x03, 0xb0, 0x52, 0xee], // mov dx, 0x3f8; mov al, 'R'; out dx, al
  ...[0xba, 0xfd, 0x03], //             next: mov dx, 0x3fd    ; line status
  ...[0xec, 0xa8, 0x01, 0x74, 0xfb], // poll: in al, dx; test al, 1; jz poll
  ...[0xb2, 0xf8, 0xec, 0xee], //             mov dl, 0xf8; in al, dx; out dx, al
  ...[0xeb, 0xf2], //                         jmp next
]);
