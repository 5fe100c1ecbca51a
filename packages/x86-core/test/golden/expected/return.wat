;; pop ebx
;; ret 8
;; bytes 5b c20800, mode 6
i32.const 0
i64.load offset=4128
local.set 0
i32.const 0
i64.load offset=4992
local.set 1
i32.const 2
local.get 0
local.get 1
i64.and
i32.const 4
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
i32.load offset=4980
local.set 8
local.get 8
local.get 4
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 9
local.get 9
i64.load offset=0
local.set 10
local.get 4
i64.const 3
i64.add
i64.const -4096
i64.and
local.get 10
i64.eq
if
  local.get 9
  i32.load offset=16
  local.set 11
  local.get 4
  i32.wrap_i64
  local.get 11
  i32.add
  i32.load offset=0
  local.set 12
  local.get 12
  local.set 13
else
  local.get 4
  i32.wrap_i64
  local.get 4
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 516
  i32.const 4096
  call $slowLoad
  local.set 14
  local.get 14
  local.set 15
  local.get 15
  if
    call $lookup
    local.set 16
    local.get 16
    local.set 17
    local.get 17
    return
  end
  i32.const 0
  i32.load offset=5072
  local.set 18
  local.get 18
  local.set 13
end
local.get 13
local.set 19
i32.const 0
i64.load offset=4128
local.set 20
i32.const 0
i64.load offset=4992
local.set 21
i32.const 0
i64.load offset=4992
local.set 22
i32.const 0
i64.load offset=4128
local.set 23
i32.const 32
local.get 23
local.get 22
i64.const -1
i64.xor
i64.and
local.get 20
local.get 21
i64.and
i64.const 4
i64.add
local.get 22
i64.and
i64.or
i64.store offset=4096
i32.const 24
local.get 19
i64.extend_i32_u
i64.store offset=4096
i32.const 4128
i32.load16_u offset=0
local.set 24
local.get 24
i32.const 1
i32.ne
if
  i32.const 4128
  return
end
i32.const 0
i64.load offset=4128
local.set 23
i32.const 0
i64.load offset=4992
local.set 22
i32.const 2
local.get 23
local.get 22
i64.and
i32.const 4
i32.const 4128
call $segment
local.set 24
local.set 21
local.get 21
local.set 20
local.get 24
local.set 19
local.get 19
i32.eqz
if
  call $lookup
  local.set 18
  local.get 18
  local.set 17
  local.get 17
  return
end
i32.const 0
i32.load offset=4980
local.set 16
local.get 16
local.get 20
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 15
local.get 15
i64.load offset=0
local.set 10
local.get 20
i64.const 3
i64.add
i64.const -4096
i64.and
local.get 10
i64.eq
if
  local.get 15
  i32.load offset=16
  local.set 14
  local.get 20
  i32.wrap_i64
  local.get 14
  i32.add
  i32.load offset=0
  local.set 13
  local.get 13
  local.set 12
else
  local.get 20
  i32.wrap_i64
  local.get 20
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 516
  i32.const 4128
  call $slowLoad
  local.set 11
  local.get 11
  local.set 9
  local.get 9
  if
    call $lookup
    local.set 8
    local.get 8
    local.set 7
    local.get 7
    return
  end
  i32.const 0
  i32.load offset=5072
  local.set 6
  local.get 6
  local.set 12
end
local.get 12
local.set 5
local.get 5
i64.extend_i32_u
local.set 4
i32.const 0
i32.load offset=4296
local.set 2
local.get 2
i64.extend_i32_u
local.get 4
i64.lt_u
if
  i32.const 13
  i32.const 0
  i32.const 4128
  call $raise
  call $lookup
  local.set 25
  local.get 25
  local.set 26
  local.get 26
  return
end
i32.const 0
i64.load offset=4128
local.set 3
i32.const 0
i64.load offset=4992
local.set 1
i32.const 0
i64.load offset=4992
local.set 0
i32.const 0
i64.load offset=4128
local.set 27
i32.const 32
local.get 27
local.get 0
i64.const -1
i64.xor
i64.and
local.get 3
local.get 1
i64.and
i64.const 4
i64.const 8
i64.add
i64.add
local.get 0
i64.and
i64.or
i64.store offset=4096
i32.const 0
local.get 4
i64.store offset=4968
i32.const 0
i32.load offset=4976
local.set 28
local.get 28
i32.const 2
i32.sub
local.set 29
i32.const 0
local.get 29
i32.store offset=4976
local.get 29
i32.const 0
i32.lt_s
if
  i32.const 0
  return
end
call $lookup
local.set 30
local.get 30
local.set 31
local.get 31
return
unreachable
