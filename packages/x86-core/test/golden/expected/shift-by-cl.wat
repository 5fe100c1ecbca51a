;; shl rax, cl
;; sar edx, cl
;; ret
;; bytes 48d3e0 d3fa c3, mode 1
i32.const 0
i64.load offset=4096
local.set 0
i32.const 0
i32.load8_u offset=4104
local.set 1
local.get 1
i32.const 63
i32.and
local.set 2
local.get 0
local.set 3
local.get 2
if
  local.get 0
  local.get 2
  i64.extend_i32_u
  i64.shl
  local.set 4
  local.get 0
  local.get 2
  i32.const 1
  i32.sub
  i64.extend_i32_u
  i64.shl
  i64.const 63
  i64.shr_u
  i64.const 1
  i64.and
  i32.wrap_i64
  local.set 5
  i32.const 0
  local.get 4
  i64.store offset=4944
  i32.const 0
  i32.const 0
  i32.store offset=4960
  i32.const 0
  local.get 5
  i32.const 31
  i32.shl
  local.get 5
  local.get 5
  local.get 4
  i64.const 63
  i64.shr_u
  i32.wrap_i64
  i32.xor
  i32.xor
  i32.const 30
  i32.shl
  i32.or
  i64.extend_i32_u
  i64.const 32
  i64.shl
  i64.store offset=4952
  local.get 4
  local.set 3
end
local.get 3
local.set 6
i32.const 0
local.get 6
i64.store offset=4096
i32.const 16
i32.load offset=4096
local.set 5
i32.const 0
i32.load8_u offset=4104
local.set 2
local.get 2
i32.const 31
i32.and
local.set 1
local.get 5
local.set 7
local.get 1
if
  local.get 5
  local.get 1
  i32.shr_s
  local.set 8
  local.get 5
  local.get 1
  i32.const 1
  i32.sub
  i32.shr_s
  i32.const 1
  i32.and
  local.set 9
  i32.const 0
  local.get 8
  i64.extend_i32_s
  i64.store offset=4944
  i32.const 0
  i32.const 0
  i32.store offset=4960
  i32.const 0
  local.get 9
  i32.const 31
  i32.shl
  local.get 9
  i32.const 0
  i32.xor
  i32.const 30
  i32.shl
  i32.or
  i64.extend_i32_u
  i64.const 32
  i64.shl
  i64.store offset=4952
  local.get 8
  local.set 7
end
local.get 7
local.set 10
i32.const 16
local.get 10
i64.extend_i32_u
i64.store offset=4096
i32.const 0
i64.load offset=4128
local.set 6
i32.const 0
i32.load offset=4980
local.set 10
local.get 10
local.get 6
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
local.set 4
local.get 6
i64.const 7
i64.add
i64.const -4096
i64.and
local.get 4
i64.eq
if
  local.get 9
  i32.load offset=16
  local.set 8
  local.get 6
  i32.wrap_i64
  local.get 8
  i32.add
  i64.load offset=0
  local.set 3
  local.get 3
  local.set 0
else
  local.get 6
  i32.wrap_i64
  local.get 6
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 520
  i32.const 4160
  call $slowLoad
  local.set 7
  local.get 7
  local.set 1
  local.get 1
  if
    call $lookup
    local.set 2
    local.get 2
    local.set 5
    local.get 5
    return
  end
  i32.const 0
  i64.load offset=5072
  local.set 11
  local.get 11
  local.set 0
end
local.get 0
local.set 12
local.get 12
i64.const 16
i64.shl
i64.const 16
i64.shr_s
local.get 12
i64.ne
if
  i32.const 13
  i32.const 0
  i32.const 4160
  call $raise
  call $lookup
  local.set 13
  local.get 13
  local.set 14
  local.get 14
  return
end
i32.const 0
i64.load offset=4128
local.set 15
i32.const 32
local.get 15
i64.const 8
i64.add
i64.store offset=4096
i32.const 0
local.get 12
i64.store offset=4968
i32.const 0
i32.load offset=4976
local.set 16
local.get 16
i32.const 3
i32.sub
local.set 17
i32.const 0
local.get 17
i32.store offset=4976
local.get 17
i32.const 0
i32.lt_s
if
  i32.const 0
  return
end
call $lookup
local.set 18
local.get 18
local.set 19
local.get 19
return
unreachable
