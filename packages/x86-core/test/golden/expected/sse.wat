;; movaps xmm1, [rdi]
;; paddd xmm1, xmm2
;; pxor xmm3, xmm3
;; movss [rsi], xmm1
;; ret
;; bytes 0f280f 660ffeca 660fefdb f30f110e c3, mode 1
i32.const 56
i64.load offset=4096
local.set 0
i32.const 128
i64.load offset=4096
local.set 1
local.get 0
local.get 1
i64.add
local.set 2
local.get 2
i64.const 15
i64.and
i64.const 0
i64.ne
if
  i32.const 13
  i32.const 0
  i32.const 4096
  call $raise
  call $lookup
  local.set 3
  local.get 3
  local.set 4
  local.get 4
  return
end
i32.const 0
i32.load offset=4980
local.set 5
local.get 5
local.get 2
i64.const 12
i64.shr_u
i32.wrap_i64
i32.const 4095
i32.and
i32.const 32
i32.mul
i32.add
local.set 6
local.get 6
i64.load offset=0
local.set 7
local.get 2
i64.const 15
i64.add
i64.const -4096
i64.and
local.get 7
i64.eq
if
  local.get 6
  i32.load offset=16
  local.set 8
  local.get 2
  i32.wrap_i64
  local.get 8
  i32.add
  v128.load offset=0
  local.set 9
  local.get 9
  local.set 10
else
  local.get 2
  i32.wrap_i64
  local.get 2
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 16
  i32.const 4096
  call $slowLoad
  local.set 11
  local.get 11
  local.set 12
  local.get 12
  if
    call $lookup
    local.set 13
    local.get 13
    local.set 14
    local.get 14
    return
  end
  i32.const 0
  v128.load offset=5072
  local.set 15
  local.get 15
  local.set 10
end
local.get 10
local.set 16
i32.const 432
local.get 16
v128.store offset=4096
i32.const 4128
i32.load16_u offset=0
local.set 17
local.get 17
i32.const 1
i32.ne
if
  i32.const 4128
  return
end
i32.const 432
v128.load offset=4096
local.set 16
i32.const 448
v128.load offset=4096
local.set 15
i32.const 432
local.get 16
local.get 15
i32x4.add
v128.store offset=4096
i32.const 464
v128.load offset=4096
local.set 15
i32.const 464
v128.load offset=4096
local.set 16
i32.const 464
local.get 15
local.get 16
v128.xor
v128.store offset=4096
i32.const 48
i64.load offset=4096
local.set 7
i32.const 128
i64.load offset=4096
local.set 2
local.get 7
local.get 2
i64.add
local.set 1
i32.const 432
i32.load offset=4096
local.set 17
i32.const 0
i32.load offset=4980
local.set 14
local.get 14
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
i64.const 3
i64.add
i64.const -4096
i64.and
local.get 0
i64.eq
if
  local.get 13
  i32.load offset=16
  local.set 12
  local.get 1
  i32.wrap_i64
  local.get 12
  i32.add
  local.get 17
  i32.store offset=0
else
  i32.const 0
  local.get 17
  i32.store offset=5008
  local.get 1
  i32.wrap_i64
  local.get 1
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 260
  i32.const 4192
  call $slowStore
  local.set 11
  local.get 11
  local.set 8
  local.get 8
  if
    call $lookup
    local.set 6
    local.get 6
    local.set 5
    local.get 5
    return
  end
end
i32.const 4224
i32.load16_u offset=0
local.set 4
local.get 4
i32.const 4
i32.ne
if
  i32.const 4224
  return
end
i32.const 0
i64.load offset=4128
local.set 0
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
local.set 1
local.get 0
i64.const 7
i64.add
i64.const -4096
i64.and
local.get 1
i64.eq
if
  local.get 5
  i32.load offset=16
  local.set 6
  local.get 0
  i32.wrap_i64
  local.get 6
  i32.add
  i64.load offset=0
  local.set 2
  local.get 2
  local.set 7
else
  local.get 0
  i32.wrap_i64
  local.get 0
  i64.const 32
  i64.shr_u
  i32.wrap_i64
  i32.const 520
  i32.const 4224
  call $slowLoad
  local.set 8
  local.get 8
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
  i64.load offset=5072
  local.set 18
  local.get 18
  local.set 7
end
local.get 7
local.set 19
local.get 19
i64.const 16
i64.shl
i64.const 16
i64.shr_s
local.get 19
i64.ne
if
  i32.const 13
  i32.const 0
  i32.const 4224
  call $raise
  call $lookup
  local.set 14
  local.get 14
  local.set 17
  local.get 17
  return
end
i32.const 0
i64.load offset=4128
local.set 20
i32.const 32
local.get 20
i64.const 8
i64.add
i64.store offset=4096
i32.const 0
local.get 19
i64.store offset=4968
i32.const 0
i32.load offset=4976
local.set 3
local.get 3
i32.const 5
i32.sub
local.set 21
i32.const 0
local.get 21
i32.store offset=4976
local.get 21
i32.const 0
i32.lt_s
if
  i32.const 0
  return
end
call $lookup
local.set 22
local.get 22
local.set 23
local.get 23
return
unreachable
