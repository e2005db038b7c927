-- LoadAccount, RestoreReservation, Evict, RebuildAccount: what moves between SQL and Redis.
-- A load or restore carries the generation that the miss answered with: every eviction (or retirement) raises it, so
-- one that stalled while the account was loaded, spent and evicted again is refused as STALE.

-- The generation is another one than that of any document of the account before: an eviction raises one part of it, a
-- rebuild the other.
local function new_document(version, entry_number, charged, granted, expired, voided, debt, suspended, enforcement,
  overdraft_limit, admin_seq)
  return {
    FORMAT, version, entry_number, 0, 0, debt, charged, granted, expired, voided, overdraft_limit,
    suspended and 1 or 0, enforcement, admin_seq, 0, 0, 0, flushed, 0, now, {}, 0, 0, 0, 0, 0,
    version + evict_generation,
  }
end

-- What most accounts leave out, and the counters of limits.
local function load_extras(account, config_seq, low_balance, critical_balance, cycle_seq, carry_room, carry_kinds,
  listed)
  if config_seq and (config_seq ~= 0 or low_balance ~= ABSENT or critical_balance ~= ABSENT or cycle_seq ~= 0) then
    local doc = account.doc
    doc[A_CONFIG_SEQ], doc[A_LOW_BALANCE], doc[A_CRITICAL_BALANCE] = config_seq, low_balance, critical_balance
    doc[A_CYCLE_SEQ], doc[A_CARRY_ROOM], doc[A_CARRY_KINDS] = cycle_seq, carry_room, carry_kinds
  end
  load_counters(account, listed or {})
end

-- Fills a document with SQL's grants: seven numbers each.
local function load_grants(account, listed)
  account.tail_loaded = true
  for i = 1, #listed, 7 do
    local number, kind, priority, expire, acquire, remaining, voided = unpack(listed, i, i + 6)
    insert_grant(account, number, kind, priority, expire, acquire, remaining, 0, voided)
    account.doc[A_AVAILABLE] = account.doc[A_AVAILABLE] + remaining
  end
end

-- What ended while the account was away goes before the next operation of this very batch could spend it.
local function expire_ended_grants(account)
  local grants, ended = account.doc[A_GRANTS], {}
  for i = 1, #grants, GRANT_STRIDE do
    if grants[i + G_EXPIRE] ~= 0 and grants[i + G_EXPIRE] <= now then
      ended[#ended + 1] = { grants[i + G_EXPIRE], grants[i] }
    end
  end
  table.sort(ended, function(a, b)
    return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
  end)
  for i = 1, #ended do
    settle_event(account, expire_grant, ended[i][2], ended[i][1] - 1)
  end
end

-- Holds that dissolved with a lost Redis make their credits available again: debt is repaid first.
local function repay_debt(account)
  local doc = account.doc
  local repaid = min(doc[A_DEBT], doc[A_AVAILABLE])
  if repaid == 0 then
    return
  end
  local allocations = {}
  take(account, repaid, allocations, false)
  for i = 1, #allocations, 3 do
    local number, kind, amount = allocations[i], allocations[i + 1], allocations[i + 2]
    doc[A_DEBT] = doc[A_DEBT] - amount
    emit(account, K_DEBT_REPAID, now, amount, { number, kind, amount }, 0, '', number, kind)
  end
  changed(account)
end

transitions[11] = function(account, op)
  local _, id, generation, entry_number, charged, granted, expired, voided, debt, suspended, enforcement,
    overdraft_limit, admin_seq, members, grants, config_seq, low_balance, critical_balance, cycle_seq, carry_room,
    carry_kinds, listed_counters = unpack(op) -- LoadAccount
  if account then
    return applied(account, false)
  end
  if generation ~= evict_generation then
    return refused(STALE, evict_generation, flushed)
  end
  account = {
    id = id,
    doc = new_document(now, entry_number, charged, granted, expired, voided, debt, suspended, enforcement,
      overdraft_limit, admin_seq),
    dirty = true,
  }
  load_grants(account, grants)
  load_extras(account, config_seq, low_balance, critical_balance, cycle_seq, carry_room, carry_kinds, listed_counters)
  change_members(account, members, true)
  accounts[id] = account
  expire_ended_grants(account)
  repay_debt(account)
  return applied(account, true)
end

local function restored_record(id, op)
  local _, _, _, digest, state, content, reserved, charged, uncollected, late, create, expire, settle, price_version,
    entry_number, details, allocations, listed_windows = unpack(op) -- RestoreReservation
  local windows
  for i = 1, #(listed_windows or {}) do
    windows = windows or {}
    windows[3 * i - 2], windows[3 * i - 1], windows[3 * i] = unpack(listed_windows[i])
  end
  return digest, {
    FORMAT, state, id, content, reserved, charged, uncollected, late and 1 or 0, create, expire, settle, price_version,
    allocations, details, entry_number, flushed, {}, state == EXPIRED and uncollected or 0, windows,
  }
end

transitions[12] = function(account, op)
  local digest, record = restored_record(account.id, op)
  if record_of(digest) then
    return applied(account, false)
  end
  if op[3] ~= retire_generation then
    return refused(STALE, retire_generation, flushed)
  end
  put_record(account, digest, record)
  return applied(account, true)
end

transitions[13] = function(account, op)
  local _, id, idle_before, admin_seq, members, listed_counters = unpack(op) -- Evict
  local doc = account.doc
  if doc[A_OPEN] > 0 or doc[A_LAST_SEQ] > flushed
    or doc[A_TOUCHED] > idle_before or doc[A_ADMIN_SEQ] ~= admin_seq or doc[A_WATCHED_UNTIL] > now then
    return refused(STALE)
  end
  if doc[A_WAITERS] > 0 then
    first_ticket(account) -- lapsed tickets must not keep an account for ever
    if doc[A_WAITERS] > 0 then
      return refused(STALE)
    end
  end
  local answer = applied(account, true)
  load_tail(account)
  local grants = doc[A_GRANTS]
  for i = 1, #grants, GRANT_STRIDE do
    if grants[i + G_EXPIRE] ~= 0 then
      set_deadline(grant_member(account, grants[i]), false)
    end
  end
  local fields = { id, tail_field(account) }
  for i = 1, #members do
    fields[#fields + 1] = member_field(account, members[i])
  end
  for i = 1, #fields do
    call('HDEL', ACCOUNTS, fields[i])
  end
  for i = 1, #(listed_counters or {}) do
    drop_counter(account, counter_field(account, unpack(listed_counters[i])))
  end
  accounts[id] = false
  evict_generation = evict_generation + 1
  return answer
end

-- Takes what an open hold had allocated from SQL's grants again; it shrinks where they no longer have it.
local function attach_hold(account, digest, record)
  local doc = account.doc
  local kept, total, allocations = {}, 0, record[R_ALLOCATIONS]
  for i = 1, #allocations, 3 do
    local g = find_grant(account, allocations[i])
    local part = g and min(allocations[i + 2], doc[A_GRANTS][g + G_REMAINING]) or 0
    if part > 0 then
      local grants = doc[A_GRANTS]
      grants[g + G_REMAINING] = grants[g + G_REMAINING] - part
      grants[g + G_HELD] = grants[g + G_HELD] + part
      add_allocation(kept, allocations[i], allocations[i + 1], part)
      total = total + part
    end
  end
  record[R_ALLOCATIONS], record[R_RESERVED] = kept, total
  doc[A_AVAILABLE] = doc[A_AVAILABLE] - total
  doc[A_RESERVED] = doc[A_RESERVED] + total
  doc[A_OPEN] = doc[A_OPEN] + 1
  if record[R_WINDOWS] then
    count_kept(account, record[R_WINDOWS], total + record[R_UNCOLLECTED])
  end
  put_record(account, digest, record)
end

transitions[15] = function(account, op)
  local _, id, load, holds, ended = unpack(op) -- RebuildAccount
  local _, _, _, entry_number, charged, granted, expired, voided, debt, suspended, enforcement, overdraft_limit,
    admin_seq, members, grants, config_seq, low_balance, critical_balance, cycle_seq, carry_room, carry_kinds,
    listed_counters = unpack(load) -- LoadAccount
  local before = account and account.doc
  local version = before and math.max(now, before[A_VERSION] + 1) or now
  account = {
    id = id,
    doc = new_document(version, entry_number, charged, granted, expired, voided, debt, suspended, enforcement,
      overdraft_limit, admin_seq),
    dirty = true,
  }
  accounts[id] = account
  if before then -- the queue stays: its tickets are counted and numbered on
    account.doc[A_WAITERS], account.doc[A_NEXT_TICKET] = before[A_WAITERS], before[A_NEXT_TICKET]
  end
  load_grants(account, grants)
  load_extras(account, config_seq, low_balance, critical_balance, cycle_seq, carry_room, carry_kinds, listed_counters)
  change_members(account, members, true)
  local is_ended = {}
  for i = 1, #ended do
    local digest, record = restored_record(id, ended[i])
    is_ended[digest] = true
    put_record(account, digest, record)
  end
  for i = 1, #holds do
    local digest = holds[i]
    local record = not is_ended[digest] and record_of(digest)
    if record and record[R_STATE] == ACTIVE then
      attach_hold(account, digest, record)
    end
  end
  expire_ended_grants(account)
  repay_debt(account)
  return applied(account, true)
end

transitions[14] = function(account, op)
  local _, _, ticket, owner = unpack(op) -- CancelWait
  local held = ticket_of(account, ticket)
  local mine = held ~= nil and held[3] == owner
  if mine then
    drop_ticket(account, ticket, held)
  end
  return applied(account, mine)
end
