-- Due events: holds that ended, grants that expired, windows that ended, in the order of their times, before anything else.

local function expire_hold(account, digest, record)
  local at = record[R_EXPIRE]
  local caused = {}
  settle_allocations(account, record, 0, at, caused)
  record[R_STATE], record[R_SETTLE], record[R_ALLOCATIONS] = EXPIRED, at, {}
  account.doc[A_OPEN] = account.doc[A_OPEN] - 1
  if record[R_WINDOWS] then
    count_ending(account, record[R_WINDOWS], record[R_RESERVED] + record[R_UNCOLLECTED], 0)
  end
  emit_ending(account, K_EXPIRED_HOLD, at, 0, {}, '', digest, record, 0)
  emit_caused(account, caused, at)
  put_record(account, digest, record)
  changed(account)
end

-- What is available of a grant expires; what is reserved stays and still pays.
local function expire_grant(account, number, at)
  local i = find_grant(account, number)
  if not i then
    return
  end
  local doc, grants = account.doc, account.doc[A_GRANTS]
  local amount = grants[i + G_REMAINING]
  if amount == 0 then
    return
  end
  grants[i + G_REMAINING] = 0
  doc[A_AVAILABLE] = doc[A_AVAILABLE] - amount
  doc[A_EXPIRED] = doc[A_EXPIRED] + amount
  local kind = grants[i + G_KIND]
  emit(account, K_GRANT_EXPIRED, at, amount, { number, kind, amount }, 0, '', number, kind)
  changed(account)
end

-- The account of a grant's or a counter's member: up to the first NUL.
local function account_of_member(member)
  return string.sub(member, 2, string.find(member, '\0', 2, true) - 1)
end

local function settle_due(member, score)
  local tag, id = string.sub(member, 1, 1), string.sub(member, 2)
  if tag == HOLD_MEMBER then
    local record = record_of(id)
    local account = record and account_of(record[R_ACCOUNT])
    if account and record[R_STATE] == ACTIVE then
      settle_event(account, expire_hold, id, record)
      return
    end
  elseif tag == COUNTER_MEMBER then
    local account = account_of(account_of_member(member))
    if account then
      end_counter(account, id)
      return
    end
    call('HDEL', COUNTERS, id) -- left behind by an eviction
  else
    local account = account_of(account_of_member(member))
    if account then
      set_deadline(member, false)
      settle_event(account, expire_grant, tonumber(string.sub(id, -16)), score - 1)
      return
    end
  end
  call('ZREM', DEADLINES, member) -- names nothing that exists: recovery leaves such
end

-- Settles at most DUE_LIMIT events; returns whether more are due.
local function settle_due_events()
  local due = call('ZRANGEBYSCORE', DEADLINES, '-inf', digits(now), 'WITHSCORES', 'LIMIT', 0, DUE_LIMIT + 1)
  local count = min(#due / 2, DUE_LIMIT)
  if count == 0 then
    return false
  end
  local digests = {}
  for i = 1, count do
    local member = due[2 * i - 1]
    if string.sub(member, 1, 1) == HOLD_MEMBER and records[string.sub(member, 2)] == nil then
      digests[#digests + 1] = string.sub(member, 2)
    end
  end
  prefetch(RESERVATIONS, digests, records, false)
  for i = 1, count do
    local member = due[2 * i - 1]
    local fine, message = pcall(settle_due, member, tonumber(due[2 * i]))
    if not fine then
      local record = records[string.sub(member, 2)]
      broken[record and record[R_ACCOUNT] or account_of_member(member)] = tostring(message)
    end
  end
  return #due / 2 > DUE_LIMIT
end
