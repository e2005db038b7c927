-- Charge: reserve and commit in one step, in one namespace of request ids with Reserve.
-- Precedence as Reserve. All or nothing, unless a minimum is accepted or the overdraft allowed.

transitions[2] = function(account, op)
  local _, _, digest, content, amount, min_amount, policy, price_version, details, settlement, user_id, wait, owner,
    validate_only, silent, entitled, config_seq, limits = unpack(op) -- Charge
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
  local observing, over = doc[A_ENFORCEMENT] == OBSERVE, nil
  if windows then
    local allowed
    allowed, over = within_limits(account, limits, windows, amount, min_amount)
    if over and not observing then
      stop_waiting(account, digest, owner)
      return over
    end
    amount = observing and amount or allowed
  end
  local room, would_refuse = 0, false
  if policy == ALLOW_WITH_OVERDRAFT then
    room = math.max(0, doc[A_OVERDRAFT] - doc[A_DEBT])
  end
  local taken
  if observing then
    would_refuse = doc[A_AVAILABLE] + room < min_amount or over ~= nil or entitled == false
    room = 0
    taken = min(amount, doc[A_AVAILABLE])
    leave_queue(account, digest)
  else
    taken, answer = affordable(account, digest, amount, min_amount, room, wait, owner, validate_only)
    if not taken then
      return answer
    end
  end
  local counted = observing and amount or taken
  if doc[A_CHARGED] + taken > MAX_MICROS or (windows and counters_full(account, windows, counted)) then
    return refused(INVALID_AMOUNT)
  end
  local uncollected = 0
  if observing or policy == ALLOW_WITH_OVERDRAFT then
    uncollected = amount - taken -- with a minimum alone, less was asked for in the end
  end
  if validate_only then
    local shown = hypothetical(account, taken, 0, now, price_version, details)
    shown[R_STATE], shown[R_CHARGED], shown[R_UNCOLLECTED], shown[R_SETTLE] = COMMITTED, taken, uncollected, now
    return done(account, '', shown, false, would_refuse)
  end
  local record = new_record(account, content, taken, 0, now, price_version, details, windows, silent)
  local allocations = {}
  take_excess(account, taken, policy, allocations)
  if windows then
    count_new(account, limits, windows, counted, true)
  end
  end_committed(account, digest, record, taken, uncollected, allocations, settlement, counted)
  return done_for_good(account, digest, record, would_refuse)
end
