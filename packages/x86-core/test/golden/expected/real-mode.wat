;; mov ax, [bx+si+2]
;; mov es:[di], al
;; lodsb
;; jmp $
;; bytes 8b4002 268805 ac ebfe, mode 16
i32.const 24
i64.load offset=4096
local.set 0
i32.const 48
i64.load offset=4096
local.set 1
i32.const 3
local.get 0
local.get 1
i64.add
i64.const 2
i64.add
i64.const 65535
i64.and
i32.const 2
i32.const 4096
call $segment
local.set 2
local.set 3
local.get 3
local.set 4
local.get 2
local.set 5
local.get 5
i32.eqz
if
  call $lookup
  local.set 6
  local.get 6
  local.set 7
  local.get 7
  return
end
i32.const 0
local.get 4
i64.store offset=4232
i32.const 4128
i32.load16_u offset=0
local.set 8
local.get 8
i32.const 1
i32.ne
if
  i32.const 4128
  return
end
i32.const 136
i64.load offset=4096
local.set 4
i32.const 128
i64.load offset=4096
local.set 3
local.get 4
local.get 3
i64.add
local.set 1
i32.const 0
i32.load offset=4980
local.set 8
local.get 8
local.get 1
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 7
local.get 7
i64.load offset=0
local.set 0
local.get 1
i64.const 1
i64.add
i64.const -4096
i64.and
local.get 0
i64.eq
if
  local.get 7
  i32.load offset=16
  local.set 6
  local.get 1
  i32.wrap_i64
  local.get 6
  i32.add
  i32.load16_u offset=0
  local.set 5
  local.get 5
  local.set 2
else
  local.get 1
  i32.wrap_i64
  local.get 1
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 2
  i32.const 4128
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
  i32.load16_u offset=5072
  local.set 13
  local.get 13
  local.set 2
end
local.get 2
local.set 14
i32.const 0
local.get 14
i32.store16 offset=4096
i32.const 4160
i32.load16_u offset=0
local.set 15
local.get 15
i32.const 0
i32.ne
if
  i32.const 4160
  return
end
i32.const 56
i64.load offset=4096
local.set 0
i32.const 128
i64.load offset=4096
local.set 1
i32.const 0
local.get 0
local.get 1
i64.add
i64.const 65535
i64.and
i32.const 257
i32.const 4160
call $segment
local.set 15
local.set 3
local.get 3
local.set 4
local.get 15
local.set 14
local.get 14
i32.eqz
if
  call $lookup
  local.set 13
  local.get 13
  local.set 12
  local.get 12
  return
end
i32.const 0
local.get 4
i64.store offset=4232
i32.const 4192
i32.load16_u offset=0
local.set 11
local.get 11
i32.const 2
i32.ne
if
  i32.const 4192
  return
end
i32.const 136
i64.load offset=4096
local.set 4
i32.const 128
i64.load offset=4096
local.set 3
local.get 4
local.get 3
i64.add
local.set 1
i32.const 0
i32.load8_u offset=4096
local.set 11
i32.const 0
i32.load offset=4980
local.set 12
local.get 12
local.get 1
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 13
local.get 13
i64.load offset=8
local.set 0
local.get 1
i64.const -4096
i64.and
local.get 0
i64.eq
if
  local.get 13
  i32.load offset=16
  local.set 14
  local.get 1
  i32.wrap_i64
  local.get 14
  i32.add
  local.get 11
  i32.store8 offset=0
else
  i32.const 0
  local.get 11
  i32.store8 offset=5008
  local.get 1
  i32.wrap_i64
  local.get 1
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 257
  i32.const 4192
  call $slowStore
  local.set 15
  local.get 15
  local.set 10
  local.get 10
  if
    call $lookup
    local.set 9
    local.get 9
    local.set 2
    local.get 2
    return
  end
end
i32.const 4224
i32.load16_u offset=0
local.set 5
local.get 5
i32.const 3
i32.ne
if
  i32.const 4224
  return
end
i32.const 0
i64.load offset=4144
local.set 0
i32.const 3
local.get 0
i64.const 65535
i64.and
i32.const 1
i32.const 4224
call $segment
local.set 5
local.set 1
local.get 1
local.set 3
local.get 5
local.set 2
local.get 2
i32.eqz
if
  call $lookup
  local.set 9
  local.get 9
  local.set 10
  local.get 10
  return
end
i32.const 0
i32.load offset=4980
local.set 15
local.get 15
local.get 3
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 14
local.get 14
i64.load offset=0
local.set 4
local.get 3
i64.const -4096
i64.and
local.get 4
i64.eq
if
  local.get 14
  i32.load offset=16
  local.set 13
  local.get 3
  i32.wrap_i64
  local.get 13
  i32.add
  i32.load8_u offset=0
  local.set 12
  local.get 12
  local.set 11
else
  local.get 3
  i32.wrap_i64
  local.get 3
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 1
  i32.const 4224
  call $slowLoad
  local.set 6
  local.get 6
  local.set 7
  local.get 7
  if
    call $lookup
    local.set 8
    local.get 8
    local.set 16
    local.get 16
    return
  end
  i32.const 0
  i32.load8_u offset=5072
  local.set 17
  local.get 17
  local.set 11
end
local.get 11
local.set 18
i32.const 0
local.get 18
i32.store8 offset=4096
i32.const 0
i32.load offset=4964
local.set 19
i32.const 0
i64.load offset=4144
local.set 20
i32.const 48
local.get 20
i64.const -1
i64.const 1
local.get 19
i32.const 10
i32.shr_u
i32.const 1
i32.and
select
i64.add
i32.wrap_i64
i32.const 65535
i32.and
i32.store16 offset=4096
i32.const 4256
i32.load16_u offset=0
local.set 21
local.get 21
i32.const 4
i32.ne
if
  i32.const 4256
  return
end
i32.const 0
i64.load offset=4240
local.set 20
i32.const 0
i64.load offset=4288
local.set 4
local.get 20
i64.const 7
i64.add
local.get 4
i64.sub
i64.const 4294967295
i64.and
i64.const 65535
i64.and
local.set 3
i32.const 0
i32.load offset=4296
local.set 21
local.get 21
i64.extend_i32_u
local.get 3
i64.lt_u
if
  i32.const 13
  i32.const 0
  i32.const 4256
  call $raise
  call $lookup
  local.set 19
  local.get 19
  local.set 18
  local.get 18
  return
end
i32.const 0
i32.load offset=4976
local.set 17
local.get 17
i32.const 4
i32.sub
local.set 16
i32.const 0
local.get 16
i32.store offset=4976
i32.const 4256
i32.load offset=20
local.set 8
local.get 16
i32.const 0
i32.lt_s
if
  i32.const 0
  local.get 3
  i64.store offset=4968
  i32.const 0
  return
else
  local.get 8
  i32.const 1
  i32.gt_u
  if
    local.get 8
    return
  end
  i32.const 0
  local.get 3
  i64.store offset=4968
  local.get 8
  if
    call $lookup
    local.set 7
    local.get 7
    local.set 6
    local.get 6
    return
  else
    i32.const 4256
    call $link
    local.set 11
    local.get 11
    local.set 12
    local.get 12
    return
  end
end
unreachable
