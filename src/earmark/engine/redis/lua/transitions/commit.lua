-- Commit: charge what a generation really used, give the rest back.
-- COMMITTED: replay or ALREADY_COMMITTED; RELEASED: ALREADY_RELEASED; EXPIRED: the late commit, all or nothing unless
-- the overdraft is allowed; ACTIVE: by overage policy. Answers DONE, RESERVATION_MISSING or REFUSED.

-- What pays for `excess` beyond the hold: what is available, then debt as far as the policy and the limit allow.
local function payable(account, excess, policy)
  local doc = account.doc
  local taken, debt = min(excess, doc[A_AVAILABLE]), 0
  if policy == ALLOW_WITH_OVERDRAFT and taken < excess then
    debt = min(excess - taken, math.max(0, doc[A_OVERDRAFT] - doc[A_DEBT]))
  end
  return taken, debt
end

-- Takes it. Returns how much was taken, debt included.
local function take_excess(account, excess, policy, allocations)
  local taken, debt = payable(account, excess, policy)
  take(account, taken, allocations, false)
  account.doc[A_DEBT] = account.doc[A_DEBT] + debt
  return taken + debt
end

-- `counted` is what it counts for in the windows of limits.
local function end_committed(account, digest, record, charged, uncollected, allocations, settlement, counted)
  local doc = account.doc
  record[R_STATE], record[R_CHARGED], record[R_UNCOLLECTED] = COMMITTED, charged, uncollected
  record[R_SETTLE], record[R_ALLOCATIONS] = now, allocations
  doc[A_CHARGED] = doc[A_CHARGED] + charged
  emit_ending(account, K_CHARGE, now, charged, allocations, settlement, digest, record, counted)
  put_record(account, digest, record)
  changed(account)
end

local function commit_active(account, digest, record, actual, policy, settlement)
  local doc = account.doc
  local reserved = record[R_RESERVED]
  local observing = doc[A_ENFORCEMENT] == OBSERVE
  local rejected = actual > reserved and policy == REJECT
  if rejected and not observing then
    return refused(OVERAGE_REJECTED, reserved, actual, actual - reserved)
  end
  if observing then
    policy = 0
  end
  local used = min(actual, reserved)
  local taken, debt = payable(account, actual - used, policy)
  local counted = observing and actual or used + taken + debt
  local windows, held = record[R_WINDOWS], reserved + record[R_UNCOLLECTED]
  if doc[A_CHARGED] + used + taken + debt > MAX_MICROS
    or (windows and counters_full(account, windows, counted - held)) then
    return refused(INVALID_AMOUNT)
  end
  local caused = {}
  local paid = settle_allocations(account, record, used, now, caused)
  local charged = used
  if actual > reserved then
    charged = charged + take_excess(account, actual - reserved, policy, paid)
  end
  doc[A_OPEN] = doc[A_OPEN] - 1
  if windows then
    count_ending(account, windows, held, counted)
  end
  end_committed(account, digest, record, charged, actual - charged, paid, settlement, counted)
  emit_caused(account, caused, now)
  return done_for_good(account, digest, record, rejected)
end

-- The work was done after the hold had ended: charged from what is available now.
local function commit_late(account, digest, record, actual, policy, settlement)
  local doc = account.doc
  local observing = doc[A_ENFORCEMENT] == OBSERVE
  local available = doc[A_AVAILABLE]
  local short = available < actual and policy ~= ALLOW_WITH_OVERDRAFT
  if short and not observing then
    return refused(RESERVATION_EXPIRED, available, actual, actual - available)
  end
  if observing then
    policy = 0
  end
  local taken, debt = payable(account, actual, policy)
  local counted, windows = observing and actual or taken + debt, record[R_WINDOWS]
  if doc[A_CHARGED] + taken + debt > MAX_MICROS or (windows and counters_full(account, windows, counted)) then
    return refused(INVALID_AMOUNT)
  end
  local allocations = {}
  local charged = take_excess(account, actual, policy, allocations)
  record[R_LATE] = 1
  if windows then
    count_late(account, windows, counted)
  end
  end_committed(account, digest, record, charged, actual - charged, allocations, settlement, counted)
  return done_for_good(account, digest, record, short)
end

transitions[3] = function(account, op)
  local _, _, digest, actual, policy, settlement = unpack(op) -- Commit
  local record = record_in(account, digest)
  if not record then
    return { RESERVATION_MISSING, retire_generation, flushed }
  end
  local state = record[R_STATE]
  if state == RELEASED then
    return refused(ALREADY_RELEASED)
  end
  if actual == ABSENT then
    actual = record[R_RESERVED] + (state == COMMITTED and record[R_UNFUNDED] or record[R_UNCOLLECTED])
  end
  if state == COMMITTED then
    if actual == record[R_CHARGED] + record[R_UNCOLLECTED] then
      return done(account, digest, record, true)
    end
    return refused(ALREADY_COMMITTED, record[R_CHARGED])
  elseif state == EXPIRED then
    return commit_late(account, digest, record, actual, policy, settlement)
  end
  return commit_active(account, digest, record, actual, policy, settlement)
end
