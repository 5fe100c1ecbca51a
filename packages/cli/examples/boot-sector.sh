#!/bin/sh
# A machine that runs 19 bytes: they print "Hi" on the serial port and end the machine with a status of their own.
image=$(mktemp)
trap 'rm -f "$image"' EXIT
{
  printf '\272\370\003'             # mov dx, 0x3f8
  printf '\260H\356\260i\356'       # mov al, 'H'; out dx, al; mov al, 'i'; out dx, al
  printf '\260\012\356'             # mov al, 10; out dx, al
  printf '\272\364\000\260\020\356' # mov dx, 0xf4; mov al, 16; out dx, al
  printf '\364'                     # hlt
} >"$image"
softmetal run --flat "$image" --memory 16M --isa-debug-exit
echo "exit status $?" # (16 << 1) | 1 = 33
