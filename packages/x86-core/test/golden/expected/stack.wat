;; push rbp
;; pop rax
;; call [rax]
;; bytes 55 58 ff10, mode 1
i32.const 40
i64.load offset=4096
local.set 0
i32.const 0
i64.load offset=4128
local.set 1
local.get 1
i64.const -8
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
i64.load offset=8
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
  local.get 0
  i64.store offset=0
else
  i32.const 0
  local.get 0
  i64.store offset=5008
  local.get 2
  i32.wrap_i64
  local.get 2
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 776
  i32.const 4096
  call $slowStore
  local.set 7
  local.get 7
  local.set 8
  local.get 8
  if
    call $lookup
    local.set 9
    local.get 9
    local.set 10
    local.get 10
    return
  end
end
i32.const 32
local.get 2
i64.store offset=4096
i32.const 4128
i32.load16_u offset=0
local.set 11
local.get 11
i32.const 1
i32.ne
if
  i32.const 4128
  return
end
i32.const 0
i64.load offset=4128
local.set 5
i32.const 0
i32.load offset=4980
local.set 11
local.get 11
local.get 5
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 10
local.get 10
i64.load offset=0
local.set 2
local.get 5
i64.const 7
i64.add
i64.const -4096
i64.and
local.get 2
i64.eq
if
  local.get 10
  i32.load offset=16
  local.set 9
  local.get 5
  i32.wrap_i64
  local.get 9
  i32.add
  i64.load offset=0
  local.set 1
  local.get 1
  local.set 0
else
  local.get 5
  i32.wrap_i64
  local.get 5
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 520
  i32.const 4128
  call $slowLoad
  local.set 8
  local.get 8
  local.set 7
  local.get 7
  if
    call $lookup
    local.set 6
    local.get 6
    local.set 4
    local.get 4
    return
  end
  i32.const 0
  i64.load offset=5072
  local.set 12
  local.get 12
  local.set 0
end
local.get 0
local.set 13
i32.const 0
i64.load offset=4128
local.set 14
i32.const 32
local.get 14
i64.const 8
i64.add
i64.store offset=4096
i32.const 0
local.get 13
i64.store offset=4096
i32.const 4160
i32.load16_u offset=0
local.set 3
local.get 3
i32.const 2
i32.ne
if
  i32.const 4160
  return
end
i32.const 0
i64.load offset=4096
local.set 14
i32.const 128
i64.load offset=4096
local.set 13
local.get 14
local.get 13
i64.add
local.set 12
i32.const 0
i32.load offset=4980
local.set 3
local.get 3
local.get 12
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
local.set 0
local.get 12
i64.const 7
i64.add
i64.const -4096
i64.and
local.get 0
i64.eq
if
  local.get 4
  i32.load offset=16
  local.set 6
  local.get 12
  i32.wrap_i64
  local.get 6
  i32.add
  i64.load offset=0
  local.set 1
  local.get 1
  local.set 2
else
  local.get 12
  i32.wrap_i64
  local.get 12
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 8
  i32.const 4160
  call $slowLoad
  local.set 7
  local.get 7
  local.set 8
  local.get 8
  if
    call $lookup
    local.set 9
    local.get 9
    local.set 10
    local.get 10
    return
  end
  i32.const 0
  i64.load offset=5072
  local.set 5
  local.get 5
  local.set 2
end
local.get 2
local.set 15
local.get 15
i64.const 16
i64.shl
i64.const 16
i64.shr_s
local.get 15
i64.ne
if
  i32.const 13
  i32.const 0
  i32.const 4160
  call $raise
  call $lookup
  local.set 11
  local.get 11
  local.set 16
  local.get 16
  return
end
i32.const 0
i64.load offset=4240
local.set 17
local.get 17
i64.const 2
i64.add
i64.const 2
i64.add
local.set 18
i32.const 0
i64.load offset=4128
local.set 19
local.get 19
i64.const -8
i64.add
local.set 20
i32.const 0
i32.load offset=4980
local.set 21
local.get 21
local.get 20
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 22
local.get 22
i64.load offset=8
local.set 23
local.get 20
i64.const 7
i64.add
i64.const -4096
i64.and
local.get 23
i64.eq
if
  local.get 22
  i32.load offset=16
  local.set 24
  local.get 20
  i32.wrap_i64
  local.get 24
  i32.add
  local.get 18
  i64.store offset=0
else
  i32.const 0
  local.get 18
  i64.store offset=5008
  local.get 20
  i32.wrap_i64
  local.get 20
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 776
  i32.const 4160
  call $slowStore
  local.set 25
  local.get 25
  local.set 26
  local.get 26
  if
    call $lookup
    local.set 27
    local.get 27
    local.set 28
    local.get 28
    return
  end
end
i32.const 32
local.get 20
i64.store offset=4096
i32.const 0
local.get 15
i64.store offset=4968
i32.const 0
i32.load offset=4976
local.set 29
local.get 29
i32.const 3
i32.sub
local.set 30
i32.const 0
local.get 30
i32.store offset=4976
local.get 30
i32.const 0
i32.lt_s
if
  i32.const 0
  return
end
call $lookup
local.set 31
local.get 31
local.set 32
local.get 32
return
unreachable
