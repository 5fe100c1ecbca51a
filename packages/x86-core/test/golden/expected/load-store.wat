;; mov rax, [rbx+rcx*4+0x10]
;; mov [rip+0x100], eax
;; add byte [gs:rdi], 1
;; jmp $
;; bytes 488b448b10 890500010000 65800701 ebfe, mode 1
i32.const 24
i64.load offset=4096
local.set 0
i32.const 8
i64.load offset=4096
local.set 1
local.get 0
local.get 1
i64.const 2
i64.shl
i64.add
i64.const 16
i64.add
local.set 2
i32.const 0
i32.load offset=4980
local.set 3
local.get 3
local.get 2
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 4
local.get 4
i64.load offset=0
local.set 5
local.get 2
i64.const 7
i64.add
i64.const -4096
i64.and
local.get 5
i64.eq
if
  local.get 4
  i32.load offset=16
  local.set 6
  local.get 2
  i32.wrap_i64
  local.get 6
  i32.add
  i64.load offset=0
  local.set 7
  local.get 7
  local.set 8
else
  local.get 2
  i32.wrap_i64
  local.get 2
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 8
  i32.const 4096
  call $slowLoad
  local.set 9
  local.get 9
  local.set 10
  local.get 10
  if
    call $lookup
    local.set 11
    local.get 11
    local.set 12
    local.get 12
    return
  end
  i32.const 0
  i64.load offset=5072
  local.set 13
  local.get 13
  local.set 8
end
local.get 8
local.set 14
i32.const 0
local.get 14
i64.store offset=4096
i32.const 4128
i32.load16_u offset=0
local.set 15
local.get 15
i32.const 1
i32.ne
if
  i32.const 4128
  return
end
i32.const 144
i64.load offset=4096
local.set 14
i32.const 128
i64.load offset=4096
local.set 13
local.get 14
local.get 13
i64.add
i64.const 267
i64.add
local.set 8
i32.const 0
i32.load offset=4096
local.set 15
i32.const 0
i32.load offset=4980
local.set 12
local.get 12
local.get 8
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 11
local.get 11
i64.load offset=8
local.set 7
local.get 8
i64.const 3
i64.add
i64.const -4096
i64.and
local.get 7
i64.eq
if
  local.get 11
  i32.load offset=16
  local.set 10
  local.get 8
  i32.wrap_i64
  local.get 10
  i32.add
  local.get 15
  i32.store offset=0
else
  i32.const 0
  local.get 15
  i32.store offset=5008
  local.get 8
  i32.wrap_i64
  local.get 8
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 260
  i32.const 4128
  call $slowStore
  local.set 9
  local.get 9
  local.set 6
  local.get 6
  if
    call $lookup
    local.set 4
    local.get 4
    local.set 3
    local.get 3
    return
  end
end
i32.const 4160
i32.load16_u offset=0
local.set 16
local.get 16
i32.const 2
i32.ne
if
  i32.const 4160
  return
end
i32.const 56
i64.load offset=4096
local.set 7
i32.const 320
i64.load offset=4096
local.set 8
local.get 7
local.get 8
i64.add
local.set 13
i32.const 0
local.set 16
i32.const 0
i32.load offset=4980
local.set 3
local.get 3
local.get 13
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 4
local.get 4
i64.load offset=8
local.set 14
local.get 13
i64.const -4096
i64.and
local.get 14
i64.eq
if
  local.get 4
  i32.load offset=16
  local.set 6
  local.get 13
  i32.wrap_i64
  local.get 6
  i32.add
  local.set 9
  local.get 9
  local.set 16
  local.get 9
  i32.load8_u offset=0
  local.set 10
  local.get 10
  local.set 11
else
  local.get 13
  i32.wrap_i64
  local.get 13
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 257
  i32.const 4160
  call $slowLoadForWrite
  local.set 12
  local.get 12
  local.set 15
  local.get 15
  if
    call $lookup
    local.set 17
    local.get 17
    local.set 18
    local.get 18
    return
  end
  i32.const 0
  i32.load8_u offset=5072
  local.set 19
  local.get 19
  local.set 11
end
local.get 11
local.set 20
local.get 20
i32.const 1
i32.add
i32.const 255
i32.and
local.set 21
i32.const 0
local.get 21
i32.extend8_s
i64.extend_i32_s
i64.store offset=4944
i32.const 0
local.get 20
i32.const 1
i32.xor
local.get 21
i32.xor
i32.const 16
i32.and
i32.store offset=4960
i32.const 0
local.get 20
i32.const 1
i32.and
local.get 20
i32.const 1
i32.or
local.get 21
i32.const 255
i32.xor
i32.and
i32.or
i64.extend_i32_u
i64.const 56
i64.shl
i64.store offset=4952
local.get 16
local.set 22
local.get 22
if
  local.get 22
  local.get 21
  i32.store8 offset=0
else
  i32.const 0
  local.get 21
  i32.store8 offset=5008
  local.get 13
  i32.wrap_i64
  local.get 13
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 257
  i32.const 4160
  call $slowStore
  local.set 23
  local.get 23
  local.set 24
  local.get 24
  if
    call $lookup
    local.set 25
    local.get 25
    local.set 26
    local.get 26
    return
  end
end
i32.const 4192
i32.load16_u offset=0
local.set 27
local.get 27
i32.const 3
i32.ne
if
  i32.const 4192
  return
end
i32.const 0
i64.load offset=4240
local.set 14
local.get 14
i64.const 15
i64.add
local.set 13
i32.const 0
i32.load offset=4976
local.set 27
local.get 27
i32.const 4
i32.sub
local.set 26
i32.const 0
local.get 26
i32.store offset=4976
i32.const 4192
i32.load offset=20
local.set 25
local.get 26
i32.const 0
i32.lt_s
if
  i32.const 0
  local.get 13
  i64.store offset=4968
  i32.const 0
  return
else
  local.get 25
  i32.const 1
  i32.gt_u
  if
    local.get 25
    return
  end
  i32.const 0
  local.get 13
  i64.store offset=4968
  local.get 25
  if
    call $lookup
    local.set 24
    local.get 24
    local.set 23
    local.get 23
    return
  else
    i32.const 4192
    call $link
    local.set 22
    local.get 22
    local.set 21
    local.get 21
    return
  end
end
unreachable
