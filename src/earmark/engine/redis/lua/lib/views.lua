-- What callers see of an account and of a record.

local function balance_view(account)
  local doc = account.doc
  if doc[A_TAIL_COUNT] > 0 and now >= doc[A_TAIL_SOON_UNTIL] then
    load_tail(account)
  end
  local grants = doc[A_GRANTS]
  local soon, next_expire, within = 0, 0, now + horizon
  if doc[A_TAIL_COUNT] > 0 then
    soon, next_expire = doc[A_TAIL_SOON], doc[A_TAIL_NEXT_EXPIRE]
  end
  for i = 1, #grants, GRANT_STRIDE do
    local expire, remaining = grants[i + G_EXPIRE], grants[i + G_REMAINING]
    if expire ~= 0 and remaining > 0 then
      if expire <= within then
        soon = soon + remaining
      end
      if next_expire == 0 or expire < next_expire then
        next_expire = expire
      end
    end
  end
  return {
    doc[A_AVAILABLE], doc[A_RESERVED], doc[A_DEBT], doc[A_CHARGED], soon, next_expire, doc[A_VERSION],
    doc[A_ENTRY_NUMBER],
  }
end

local function reservation_view(digest, record)
  return {
    digest, record[R_STATE], record[R_RESERVED], record[R_CHARGED], record[R_UNCOLLECTED], record[R_LATE],
    record[R_CREATE], record[R_EXPIRE], record[R_SETTLE], record[R_PRICE_VERSION], record[R_ALLOCATIONS],
    record[R_DETAILS], record[R_ACCOUNT],
  }
end

-- What a successful answer warns of: the balance as it is now, and the limits of the record that are near.
local function notices_of(account, record)
  local doc, notices = account.doc, {}
  local total = doc[A_AVAILABLE] + doc[A_RESERVED]
  local low, critical = thresholds(doc)
  if total <= critical then
    notices[1] = { CRITICAL_BALANCE, critical }
  elseif total <= low then
    notices[1] = { LOW_BALANCE, low }
  end
  local windows = record[R_WINDOWS] or {}
  for i = 1, #windows, 3 do
    local counter = counter_at(account, counter_field(account, windows[i], windows[i + 1]))
    if counter and counter[C_NEAR] > 0 and counter[C_CHARGED] >= counter[C_NEAR] then
      notices[#notices + 1] = { LIMIT_NEAR, counter[C_AMOUNT], windows[i] }
    end
  end
  return notices
end

local function done(account, digest, record, replayed, would_refuse)
  local answer = { DONE, replayed, reservation_view(digest, record), balance_view(account) }
  local noted = all_watched or record[R_WINDOWS] or account.doc[A_LOW_BALANCE]
  if noted or would_refuse then
    answer[5] = would_refuse or false
    answer[6] = noted and notices_of(account, record) or nil
  end
  return answer
end

-- The answer of the call that ended a reservation. Its entry in the stream has the details from here on: the record
-- answers replays with what it keeps, and is the smaller for it. Without an entry it keeps them.
local function done_for_good(account, digest, record, would_refuse)
  local answer = done(account, digest, record, false, would_refuse)
  if record[R_ENTRY_NUMBER] > 0 then
    record[R_DETAILS] = ''
  end
  return answer
end

local function refused(code, ...)
  return { REFUSED, code, { ... } }
end

local function insufficient(available, required)
  return { REFUSED, INSUFFICIENT_CREDITS, { available, required, math.max(0, required - available) } }
end
