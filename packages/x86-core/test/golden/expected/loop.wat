;; again: add eax, [esi]
;; dec ecx
;; jne again
;; nop
;; bytes 0306 49 75fb 90, mode 6
i32.const 48
i64.load offset=4096
local.set 0
i32.const 128
i64.load offset=4096
local.set 1
i32.const 128
i64.load offset=4096
local.set 2
i32.const 0
local.get 0
local.get 1
i64.add
i64.const 4294967295
i64.and
local.get 2
i64.add
i64.store offset=4232
i32.const 136
i64.load offset=4096
local.set 2
i32.const 128
i64.load offset=4096
local.set 1
local.get 2
local.get 1
i64.add
local.set 0
i32.const 0
i32.load offset=4096
local.set 3
i32.const 0
i32.load offset=4980
local.set 4
local.get 4
local.get 0
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 5
local.get 5
i64.load offset=0
local.set 6
local.get 0
i64.const 3
i64.add
i64.const -4096
i64.and
local.get 6
i64.eq
if
  local.get 5
  i32.load offset=16
  local.set 7
  local.get 0
  i32.wrap_i64
  local.get 7
  i32.add
  i32.load offset=0
  local.set 8
  local.get 8
  local.set 9
else
  local.get 0
  i32.wrap_i64
  local.get 0
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 4
  i32.const 4128
  call $slowLoad
  local.set 10
  local.get 10
  local.set 11
  local.get 11
  if
    call $lookup
    local.set 12
    local.get 12
    local.set 13
    local.get 13
    return
  end
  i32.const 0
  i32.load offset=5072
  local.set 14
  local.get 14
  local.set 9
end
local.get 9
local.set 15
local.get 3
local.get 15
i32.add
local.set 16
i32.const 0
local.get 16
i64.extend_i32_s
i64.store offset=4944
i32.const 0
local.get 3
local.get 15
i32.xor
local.get 16
i32.xor
i32.const 16
i32.and
i32.store offset=4960
i32.const 0
local.get 3
local.get 15
i32.and
local.get 3
local.get 15
i32.or
local.get 16
i32.const -1
i32.xor
i32.and
i32.or
i64.extend_i32_u
i64.const 32
i64.shl
i64.store offset=4952
i32.const 0
local.get 16
i64.extend_i32_u
i64.store offset=4096
i32.const 4160
i32.load16_u offset=0
local.set 17
local.get 17
i32.const 2
i32.ne
if
  i32.const 4160
  return
end
i32.const 8
i32.load offset=4096
local.set 17
i32.const 0
i64.load offset=4952
local.set 6
local.get 6
i64.const 0
i64.lt_s
local.set 16
local.get 17
i32.const 1
i32.sub
local.set 15
i32.const 0
local.get 15
i64.extend_i32_s
i64.store offset=4944
i32.const 0
local.get 17
i32.const 1
i32.xor
local.get 15
i32.xor
i32.const 16
i32.and
i32.store offset=4960
i32.const 0
local.get 16
i32.const 31
i32.shl
local.get 16
local.get 17
i32.const -2147483648
i32.eq
i32.xor
i32.const 30
i32.shl
i32.or
i64.extend_i32_u
i64.const 32
i64.shl
i64.store offset=4952
i32.const 8
local.get 15
i64.extend_i32_u
i64.store offset=4096
i32.const 0
i64.load offset=4944
local.set 6
local.get 6
i64.eqz
i32.eqz
if
  i32.const 0
  i64.load offset=4240
  local.set 0
  i32.const 0
  i64.load offset=4288
  local.set 1
  local.get 0
  i64.const 3
  i64.add
  i64.const -3
  i64.add
  local.get 1
  i64.sub
  i64.const 4294967295
  i64.and
  local.set 2
  i32.const 0
  i32.load offset=4296
  local.set 15
  local.get 15
  i64.extend_i32_u
  local.get 2
  i64.lt_u
  if
    i32.const 13
    i32.const 0
    i32.const 4192
    call $raise
    call $lookup
    local.set 16
    local.get 16
    local.set 17
    local.get 17
    return
  end
  i32.const 0
  i32.load offset=4976
  local.set 14
  local.get 14
  i32.const 3
  i32.sub
  local.set 13
  i32.const 0
  local.get 13
  i32.store offset=4976
  i32.const 4192
  i32.load offset=20
  local.set 12
  local.get 13
  i32.const 0
  i32.lt_s
  if
    i32.const 0
    local.get 2
    i64.store offset=4968
    i32.const 0
    return
  else
    local.get 12
    i32.const 1
    i32.gt_u
    if
      local.get 12
      return
    end
    i32.const 0
    local.get 2
    i64.store offset=4968
    local.get 12
    if
      call $lookup
      local.set 11
      local.get 11
      local.set 10
      local.get 10
      return
    else
      i32.const 4192
      call $link
      local.set 9
      local.get 9
      local.set 8
      local.get 8
      return
    end
  end
end
i32.const 4224
i32.load16_u offset=0
local.set 7
local.get 7
i32.const 4
i32.ne
if
  i32.const 4224
  return
end
i32.const 0
i64.load offset=4240
local.set 2
i32.const 0
i64.load offset=4288
local.set 1
local.get 2
i64.const 6
i64.add
local.get 1
i64.sub
i64.const 4294967295
i64.and
local.set 0
i32.const 0
i32.load offset=4296
local.set 7
local.get 7
i64.extend_i32_u
local.get 0
i64.lt_u
if
  i32.const 13
  i32.const 0
  i32.const 4256
  call $raise
  call $lookup
  local.set 8
  local.get 8
  local.set 9
  local.get 9
  return
end
i32.const 0
i32.load offset=4976
local.set 10
local.get 10
i32.const 4
i32.sub
local.set 11
i32.const 0
local.get 11
i32.store offset=4976
i32.const 4256
i32.load offset=20
local.set 12
local.get 11
i32.const 0
i32.lt_s
if
  i32.const 0
  local.get 0
  i64.store offset=4968
  i32.const 0
  return
else
  local.get 12
  i32.const 1
  i32.gt_u
  if
    local.get 12
    return
  end
  i32.const 0
  local.get 0
  i64.store offset=4968
  local.get 12
  if
    call $lookup
    local.set 13
    local.get 13
    local.set 14
    local.get 14
    return
  else
    i32.const 4256
    call $link
    local.set 17
    local.get 17
    local.set 16
    local.get 16
    return
  end
end
unreachable
