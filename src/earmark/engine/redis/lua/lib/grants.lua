-- Grants of an account: the burn-down order, taking, giving back.
-- The document holds the first few in burn-down order; the others wait in a tail field of their own, which is read only
-- when the first run out, when something returns to one of them, or when a grant is added: many grants cost nothing.

local function tail_field(account)
  return account.id .. '\0t'
end

local function load_tail(account)
  if account.tail_loaded then
    return
  end
  account.tail_loaded = true
  local doc = account.doc
  if doc[A_TAIL_COUNT] == 0 then
    return
  end
  local tail = unpack_one(call('HGET', ACCOUNTS, tail_field(account)))
  local grants = doc[A_GRANTS]
  local n = #grants
  for i = 1, #tail do
    grants[n + i] = tail[i]
  end
  doc[A_TAIL_COUNT] = 0
  account.dirty = true
end

-- Whether the grant at i comes before (priority, expire, kind, acquire, number) of another.
local function before(grants, i, priority, expire, kind, acquire, number)
  local a, b = grants[i + G_PRIORITY], priority
  if a ~= b then
    return a < b
  end
  a, b = grants[i + G_EXPIRE], expire
  if a ~= b then
    return a ~= 0 and (b == 0 or a < b) -- never expires last
  end
  a, b = KIND_RANK[grants[i + G_KIND]], KIND_RANK[kind]
  if a ~= b then
    return a < b
  end
  a, b = grants[i + G_ACQUIRE], acquire
  if a ~= b then
    return a < b
  end
  return grants[i + G_NUMBER] < number
end

local function insert_grant(account, number, kind, priority, expire, acquire, remaining, held, voided)
  load_tail(account)
  local grants = account.doc[A_GRANTS]
  local at = 1
  while at <= #grants and before(grants, at, priority, expire, kind, acquire, number) do
    at = at + GRANT_STRIDE
  end
  for i = #grants, at, -1 do
    grants[i + GRANT_STRIDE] = grants[i]
  end
  grants[at + G_NUMBER], grants[at + G_KIND], grants[at + G_PRIORITY] = number, kind, priority
  grants[at + G_EXPIRE], grants[at + G_ACQUIRE] = expire, acquire
  grants[at + G_REMAINING], grants[at + G_HELD], grants[at + G_VOIDED] = remaining, held, voided
  if expire ~= 0 then
    set_deadline(grant_member(account, number), expire)
  end
end

local function position_in(grants, number)
  for i = 1, #grants, GRANT_STRIDE do
    if grants[i] == number then
      return i
    end
  end
  return nil
end

-- The position of a grant that still has something available or reserved; nil if it has not.
local function find_grant(account, number)
  local grants = account.doc[A_GRANTS]
  local i = position_in(grants, number)
  if not i and account.doc[A_TAIL_COUNT] > 0 then
    load_tail(account)
    i = position_in(grants, number)
  end
  if i and grants[i + G_REMAINING] == 0 and grants[i + G_HELD] == 0 then
    return nil
  end
  return i
end

local function live_grants(account)
  load_tail(account)
  local grants, count = account.doc[A_GRANTS], 0
  for i = 1, #grants, GRANT_STRIDE do
    if grants[i + G_REMAINING] > 0 or grants[i + G_HELD] > 0 then
      count = count + 1
    end
  end
  return count
end

-- An empty list with room for what one grant gives, which is nearly always all: it need not be enlarged.
local function room_for_one()
  return { nil, nil, nil }
end

local function add_allocation(allocations, number, kind, amount)
  for i = 1, #allocations, 3 do
    if allocations[i] == number then
      allocations[i + 2] = allocations[i + 2] + amount
      return
    end
  end
  local n = #allocations
  allocations[n + 1], allocations[n + 2], allocations[n + 3] = number, kind, amount
end

-- Takes `amount` (never more than is available) in burn-down order and adds it to `allocations`.
-- `holding` keeps it with the grants as reserved; otherwise it leaves them.
local function take(account, amount, allocations, holding)
  local doc = account.doc
  local left = amount
  local grants = doc[A_GRANTS]
  local i = 1
  while left > 0 do
    if i > #grants then
      assert(doc[A_TAIL_COUNT] > 0, 'available exceeds what the grants hold')
      load_tail(account)
    end
    local remaining = grants[i + G_REMAINING]
    if remaining > 0 then
      local part = min(remaining, left)
      grants[i + G_REMAINING] = remaining - part
      if holding then
        grants[i + G_HELD] = grants[i + G_HELD] + part
      end
      add_allocation(allocations, grants[i], grants[i + G_KIND], part)
      left = left - part
    end
    i = i + GRANT_STRIDE
  end
  doc[A_AVAILABLE] = doc[A_AVAILABLE] - amount
  if holding then
    doc[A_RESERVED] = doc[A_RESERVED] + amount
  end
end

-- What `take` would add to empty allocations.
local function plan(account, amount)
  local allocations, left, i = {}, amount, 1
  while left > 0 do
    if i > #account.doc[A_GRANTS] then
      assert(account.doc[A_TAIL_COUNT] > 0, 'available exceeds what the grants hold')
      load_tail(account)
    end
    local grants = account.doc[A_GRANTS]
    local part = min(grants[i + G_REMAINING], left)
    if part > 0 then
      add_allocation(allocations, grants[i], grants[i + G_KIND], part)
      left = left - part
    end
    i = i + GRANT_STRIDE
  end
  return allocations
end

-- Whether a renewal capped what is carried over of this grant.
local function of_earlier_cycle(doc, number, kind)
  local cycle = doc[A_CYCLE_SEQ]
  return cycle and number < cycle and math.floor(doc[A_CARRY_KINDS] / 2 ^ kind) % 2 == 1
end

local function amount_of_earlier_cycles(doc, allocations)
  local total = 0
  for i = 1, #allocations, 3 do
    if of_earlier_cycle(doc, allocations[i], allocations[i + 1]) then
      total = total + allocations[i + 2]
    end
  end
  return total
end

-- Takes for a record, and notes how much of it had been carried over: that may come back whatever the cap.
local function hold(account, record, amount)
  local doc, allocations = account.doc, record[R_ALLOCATIONS]
  local cycle = doc[A_CYCLE_SEQ]
  if not cycle or cycle == 0 then
    take(account, amount, allocations, true)
    return
  end
  local before = amount_of_earlier_cycles(doc, allocations)
  take(account, amount, allocations, true)
  record[R_WINDOWS], record[R_SILENT] = record[R_WINDOWS] or {}, record[R_SILENT] or 0
  if record[R_CYCLE] ~= cycle then -- what it held when the cycle began is under the cap
    record[R_CYCLE], record[R_KEPT] = cycle, 0
  end
  record[R_KEPT] = record[R_KEPT] + amount_of_earlier_cycles(doc, allocations) - before
end

-- What a return causes besides available credits: { kind, grant, grant kind, amount } to be entered after the ending.
local function give_back(account, record, number, amount, at, caused)
  local doc = account.doc
  local i = assert(find_grant(account, number), 'an allocation names a grant that is gone')
  local grants = doc[A_GRANTS]
  grants[i + G_HELD] = grants[i + G_HELD] - amount
  doc[A_RESERVED] = doc[A_RESERVED] - amount
  local kind, expire = grants[i + G_KIND], grants[i + G_EXPIRE]
  if grants[i + G_VOIDED] == 1 then
    doc[A_VOIDED] = doc[A_VOIDED] + amount
    caused[#caused + 1] = { K_GRANT_VOIDED, number, kind, amount }
    return
  end
  if expire ~= 0 and expire <= at then
    doc[A_EXPIRED] = doc[A_EXPIRED] + amount
    caused[#caused + 1] = { K_GRANT_EXPIRED, number, kind, amount }
    return
  end
  local repaid = min(doc[A_DEBT], amount)
  if repaid > 0 then
    doc[A_DEBT] = doc[A_DEBT] - repaid
    caused[#caused + 1] = { K_DEBT_REPAID, number, kind, repaid }
  end
  local rest = amount - repaid
  if of_earlier_cycle(doc, number, kind) then
    local free = 0
    if record[R_CYCLE] == doc[A_CYCLE_SEQ] then
      free = min(record[R_KEPT], amount)
      record[R_KEPT] = record[R_KEPT] - free
    end
    local capped = amount - math.max(free, repaid) -- what was held when the cycle began and pays no debt
    local carried = min(doc[A_CARRY_ROOM], capped)
    if carried > 0 then
      doc[A_CARRY_ROOM] = doc[A_CARRY_ROOM] - carried
      account.carried = true
    end
    if carried < capped then
      doc[A_EXPIRED] = doc[A_EXPIRED] + capped - carried
      caused[#caused + 1] = { K_GRANT_EXPIRED, number, kind, capped - carried }
    end
    rest = rest - capped + carried
  end
  if rest > 0 then
    grants[i + G_REMAINING] = grants[i + G_REMAINING] + rest
    doc[A_AVAILABLE] = doc[A_AVAILABLE] + rest
    account.raised = true
  end
end

local function emit_caused(account, caused, at)
  for i = 1, #caused do
    local kind, number, grant_kind, amount = unpack(caused[i])
    emit(account, kind, at, amount, { number, grant_kind, amount }, 0, '', number, grant_kind)
  end
end

-- Splits what a record allocated: the first `used` is paid, the rest returns. Returns what was paid, per grant.
local function settle_allocations(account, record, used, at, caused)
  local allocations, paid, left = record[R_ALLOCATIONS], room_for_one(), used
  for i = 1, #allocations, 3 do
    local number, amount = allocations[i], allocations[i + 2]
    local part = min(amount, left)
    if part > 0 then
      local g = assert(find_grant(account, number), 'an allocation names a grant that is gone')
      local grants = account.doc[A_GRANTS]
      grants[g + G_HELD] = grants[g + G_HELD] - part
      account.doc[A_RESERVED] = account.doc[A_RESERVED] - part
      local n = #paid
      paid[n + 1], paid[n + 2], paid[n + 3] = number, allocations[i + 1], part
      left = left - part
    end
    if amount > part then
      give_back(account, record, number, amount - part, at, caused)
    end
  end
  return paid
end

-- What of the tail expires within the horizon, and until when that answer holds.
local function measure_tail(doc, tail)
  local soon, soon_until, next_expire = 0, MAX_MICROS, 0
  for i = 1, #tail, GRANT_STRIDE do
    local expire, remaining = tail[i + G_EXPIRE], tail[i + G_REMAINING]
    if expire ~= 0 and remaining > 0 then
      if expire <= now + horizon then
        soon = soon + remaining
      else
        soon_until = min(soon_until, expire - horizon)
      end
      if next_expire == 0 or expire < next_expire then
        next_expire = expire
      end
    end
  end
  doc[A_TAIL_COUNT] = #tail / GRANT_STRIDE
  doc[A_TAIL_SOON], doc[A_TAIL_SOON_UNTIL], doc[A_TAIL_NEXT_EXPIRE] = soon, soon_until, next_expire
end

-- Drops grants that have nothing left and, where the tail was read or the head is long, splits them again.
-- Returns the tail to write, or nil if it stays as it is.
local function compact_grants(account)
  local doc = account.doc
  local grants, kept = doc[A_GRANTS], {}
  local n = #grants
  local tidy = not account.tail_loaded and n <= HEAD_GRANTS * GRANT_STRIDE
  for i = 1, n, GRANT_STRIDE do
    tidy = tidy and (grants[i + G_REMAINING] > 0 or grants[i + G_HELD] > 0)
  end
  if tidy then -- nearly always: nothing to copy
    return nil
  end
  n = 0
  for i = 1, #grants, GRANT_STRIDE do
    if grants[i + G_REMAINING] > 0 or grants[i + G_HELD] > 0 then
      for offset = 0, GRANT_STRIDE - 1 do
        kept[n + 1 + offset] = grants[i + offset]
      end
      n = n + GRANT_STRIDE
    elseif grants[i + G_EXPIRE] ~= 0 then
      set_deadline(grant_member(account, grants[i]), false)
    end
  end
  doc[A_GRANTS] = kept
  if n > HEAD_GRANTS * GRANT_STRIDE and not account.tail_loaded then
    load_tail(account)
    n = #kept
  end
  if not account.tail_loaded then
    return nil
  end
  local tail = {}
  if n > HEAD_GRANTS * GRANT_STRIDE then
    local head, spendable, cut = {}, 0, 1
    while cut <= n and spendable < HEAD_SPENDABLE and cut <= HEAD_GRANTS * GRANT_STRIDE do
      if kept[cut + G_REMAINING] > 0 then
        spendable = spendable + 1
      end
      cut = cut + GRANT_STRIDE
    end
    for i = 1, cut - 1 do
      head[i] = kept[i]
    end
    for i = cut, n do
      tail[i - cut + 1] = kept[i]
    end
    doc[A_GRANTS] = head
  end
  measure_tail(doc, tail)
  return tail
end
