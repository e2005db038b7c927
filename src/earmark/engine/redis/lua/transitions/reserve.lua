-- Reserve: hold credits for a generation.
-- Precedence: replay or REQUEST_ID_REUSED; CONFIGURATION_MOVED; ACCOUNT_SUSPENDED; NOT_A_MEMBER; NOT_ENTITLED;
-- LIMIT_EXCEEDED; the queue; INSUFFICIENT_CREDITS; INVALID_AMOUNT (a counter would pass what it can hold).
-- Answers DONE, WAITING, REFUSED or CONFIGURATION_MOVED, which leaves a ticket as it is: the call comes again.

-- The answer to a request id that was seen before, or nil.
local function replay_of(account, digest, content)
  local record = record_of(digest)
  if not record then
    return nil
  end
  leave_queue(account, digest) -- the credits were taken by a repeat that did not wait
  if record[R_CONTENT] == content or record[R_CONTENT] == '' then -- '': released before its Reserve arrived
    return done(account, digest, record, true)
  end
  return refused(REQUEST_ID_REUSED)
end

-- The windows of the limits that a call is under (nil if none is), or the answer that it must be derived anew.
local function windows_for(account, config_seq, limits)
  if (limits == nil or #limits == 0) and (config_seq or 0) == (account.doc[A_CONFIG_SEQ] or 0) then
    return nil, nil -- nearly always
  end
  return open_windows(account, config_seq or 0, limits or {})
end

-- Why an account may not spend, or nil.
local function barred(account, user_id, entitled)
  if account.doc[A_SUSPENDED] == 1 then
    return refused(ACCOUNT_SUSPENDED)
  end
  if account.doc[A_MEMBERS] > 0 and not is_member(account, user_id) then
    return refused(NOT_A_MEMBER)
  end
  if entitled == false and account.doc[A_ENFORCEMENT] ~= OBSERVE then
    return refused(NOT_ENTITLED)
  end
  return nil
end

-- What a Reserve or Charge may take: the amount, or a refusal or WAITING as second result.
-- `room` is what debt adds to what is available.
local function affordable(account, digest, amount, minimum, room, wait, owner, validate_only)
  local available = account.doc[A_AVAILABLE]
  local enough = available + room >= minimum
  if owner ~= '' and not validate_only then
    local what = turn(account, digest, wait, owner, enough)
    if what == 'wait' then
      return nil, { WAITING, available, minimum }
    elseif what == 'late' then
      enough = false
    end
  end
  if not enough then
    return nil, insufficient(available + room, minimum)
  end
  if owner == '' and not validate_only then
    leave_queue(account, digest)
  end
  return min(amount, available + room), nil
end

-- `unfunded`: what an account that only observes could not give; `windows`: of limits, or nil.
local function new_record(account, content, amount, unfunded, expire, price_version, details, windows, silent)
  return {
    FORMAT, ACTIVE, account.id, content, amount, 0, unfunded, 0, now, expire, 0, price_version, room_for_one(), details,
    0, 0, {}, unfunded, windows or (silent and {} or nil), silent and 1 or nil,
  }
end

-- What validate_only shows: the record as it would be, without an id.
local function hypothetical(account, amount, unfunded, expire, price_version, details)
  local record = new_record(account, '', amount, unfunded, expire, price_version, details)
  record[R_ALLOCATIONS] = plan(account, min(amount, account.doc[A_AVAILABLE]))
  return record
end

transitions[1] = function(account, op)
  local _, _, digest, content, amount, min_amount, ttl, price_version, details, user_id, wait, owner, validate_only,
    silent, entitled, config_seq, limits = unpack(op) -- Reserve
  local answer = replay_of(account, digest, content)
  if answer then
    return answer
  end
  local windows
  windows, answer = windows_for(account, config_seq, limits)
  if answer then
    return answer
  end
  answer = barred(account, user_id, entitled)
  if answer then
    stop_waiting(account, digest, owner)
    return answer
  end
  local doc = account.doc
  local observing, allowed, over = doc[A_ENFORCEMENT] == OBSERVE, amount, nil
  if windows then
    allowed, over = within_limits(account, limits, windows, amount, min_amount)
    if over and not observing then
      stop_waiting(account, digest, owner)
      return over
    end
  end
  local taken, would_refuse, unfunded = nil, false, 0
  if observing then
    taken = min(amount, doc[A_AVAILABLE])
    would_refuse = doc[A_AVAILABLE] < min_amount or over ~= nil or entitled == false
    unfunded = amount - taken
    leave_queue(account, digest)
  else
    taken, answer = affordable(account, digest, allowed, min_amount, 0, wait, owner, validate_only)
    if not taken then
      return answer
    end
  end
  if windows and counters_full(account, windows, taken + unfunded) then
    return refused(INVALID_AMOUNT)
  end
  if validate_only then
    local shown = hypothetical(account, taken, unfunded, now + ttl, price_version, details)
    return done(account, '', shown, false, would_refuse)
  end
  local record = new_record(account, content, taken, unfunded, now + ttl, price_version, details, windows, silent)
  hold(account, record, taken)
  doc[A_OPEN] = doc[A_OPEN] + 1
  if windows then
    count_new(account, limits, windows, taken + unfunded, false)
  end
  put_record(account, digest, record)
  changed(account)
  return done(account, digest, record, false, would_refuse)
end
