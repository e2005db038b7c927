-- Extend: move the expiry (from now, never shorter, at most 24 h after creation), add credits, or both.
-- Precedence: a remembered extension is replayed or REQUEST_ID_REUSED; the state table; ACCOUNT_SUSPENDED and
-- TOO_MANY_EXTENSIONS, INVALID_AMOUNT and LIMIT_EXCEEDED for additions; the queue; INSUFFICIENT_CREDITS, which leaves the
-- reservation as it was.

local function move_expiry(account, digest, record, at)
  at = min(at, record[R_CREATE] + MAX_LIFETIME)
  if at <= record[R_EXPIRE] then
    return false
  end
  record[R_EXPIRE] = at
  put_record(account, digest, record)
  return true
end

local function replay_of_extension(account, digest, record, extension, content)
  local extensions = record[R_EXTENSIONS]
  for i = 1, #extensions, 2 do
    if extensions[i] == extension then
      if extensions[i + 1] == content then
        return done(account, digest, record, true)
      end
      return refused(REQUEST_ID_REUSED)
    end
  end
  return nil
end

local function refuse_ended(account, record)
  local state = record[R_STATE]
  if state == COMMITTED then
    return refused(ALREADY_COMMITTED, record[R_CHARGED])
  elseif state == EXPIRED then
    return refused(RESERVATION_EXPIRED, account.doc[A_AVAILABLE], 0, 0)
  end
  return refused(ALREADY_RELEASED)
end

transitions[5] = function(account, op)
  local _, _, digest, extension, content, ttl, additional, wait, owner = unpack(op) -- Extend
  local record = record_in(account, digest)
  if not record then
    return { RESERVATION_MISSING, retire_generation, flushed }
  end
  local answer = replay_of_extension(account, digest, record, extension, content)
  if answer then
    leave_queue(account, extension)
    return answer
  end
  local doc = account.doc
  if record[R_STATE] ~= ACTIVE then
    leave_queue(account, extension)
    return refuse_ended(account, record)
  end
  local would_refuse = false
  if additional > 0 then
    if doc[A_SUSPENDED] == 1 then
      stop_waiting(account, extension, owner)
      return refused(ACCOUNT_SUSPENDED)
    end
    if #record[R_EXTENSIONS] >= 2 * MAX_EXTENSIONS then
      stop_waiting(account, extension, owner)
      return refused(TOO_MANY_EXTENSIONS, MAX_EXTENSIONS)
    end
    local windows, over = record[R_WINDOWS], nil
    if record[R_RESERVED] + record[R_UNCOLLECTED] + additional > MAX_MICROS
      or (windows and counters_full(account, windows, additional)) then
      stop_waiting(account, extension, owner)
      return refused(INVALID_AMOUNT)
    end
    local observing = doc[A_ENFORCEMENT] == OBSERVE
    if windows then
      over = addition_refused(account, windows, additional)
      if over and not observing then
        stop_waiting(account, extension, owner)
        return over
      end
    end
    local taken
    if observing then
      taken = min(additional, doc[A_AVAILABLE])
      would_refuse = taken < additional or over ~= nil
      leave_queue(account, extension)
      record[R_UNFUNDED] = record[R_UNFUNDED] + additional - taken
      record[R_UNCOLLECTED] = record[R_UNFUNDED]
    else
      taken, answer = affordable(account, extension, additional, additional, 0, wait, owner, false)
      if not taken then
        -- The hold does not end while its Extend waits.
        if answer[1] == WAITING then
          move_expiry(account, digest, record, now + wait + 1000000)
        end
        return answer
      end
    end
    record[R_ALLOCATIONS] = { unpack(record[R_ALLOCATIONS]) } -- answers of this call show those before
    hold(account, record, taken)
    record[R_RESERVED] = record[R_RESERVED] + taken
    if windows then
      count_addition(account, windows, additional)
    end
    local extensions = record[R_EXTENSIONS]
    extensions[#extensions + 1] = extension
    extensions[#extensions + 1] = content
    put_record(account, digest, record)
    changed(account)
  end
  if ttl > 0 then
    move_expiry(account, digest, record, now + ttl) -- of the reservation alone: its account is not written
  end
  return done(account, digest, record, false, would_refuse)
end
