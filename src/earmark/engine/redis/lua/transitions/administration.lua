-- ApplyGrant, VoidGrant, Configure, Renew: what SQL recorded under an admin_seq, applied exactly as the last + 1.
-- A change that was applied before, or that overtakes another, changes nothing and answers with the account's admin_seq.
-- A refusal uses its admin_seq up and leaves an ADMIN_REFUSED record, so that the next one can follow.

local function applied(account, fresh)
  return { APPLIED, account.doc[A_ADMIN_SEQ], fresh, balance_view(account) }
end

local function next_in_line(account, admin_seq)
  return admin_seq == account.doc[A_ADMIN_SEQ] + 1
end

local function refuse_administration(account, admin_seq, settlement, code, ...)
  account.doc[A_ADMIN_SEQ] = admin_seq
  emit(account, K_ADMIN_REFUSED, now, 0, {}, admin_seq, settlement, 0, 0, 0, code)
  changed(account)
  return refused(code, ...)
end

-- Gives credits under the number of an administrative operation: debt is repaid first.
local function add_grant(account, number, kind, priority, amount, acquire, expire, settlement)
  local doc = account.doc
  doc[A_GRANTED] = doc[A_GRANTED] + amount
  local gone = expire ~= 0 and expire <= now -- its moment passed while it was on its way
  local repaid = gone and 0 or min(doc[A_DEBT], amount)
  local remaining = amount - repaid
  doc[A_DEBT] = doc[A_DEBT] - repaid
  doc[A_AVAILABLE] = doc[A_AVAILABLE] + remaining
  emit(account, K_GRANT, now, amount, { number, kind, amount }, number, settlement, number, kind, expire)
  if repaid > 0 then
    emit(account, K_DEBT_REPAID, now, repaid, { number, kind, repaid }, 0, '', number, kind)
  end
  if gone and amount > 0 then
    doc[A_AVAILABLE] = doc[A_AVAILABLE] - amount
    doc[A_EXPIRED] = doc[A_EXPIRED] + amount
    emit(account, K_GRANT_EXPIRED, math.max(expire - 1, now), amount, { number, kind, amount }, 0, '', number, kind)
  elseif not gone and remaining > 0 then
    insert_grant(account, number, kind, priority, expire, acquire, remaining, 0, 0)
    account.raised = true
  end
end

transitions[8] = function(account, op)
  local _, _, admin_seq, kind, priority, amount, acquire, expire, max_grants, settlement = unpack(op) -- ApplyGrant
  if not next_in_line(account, admin_seq) then
    return applied(account, false)
  end
  if account.doc[A_GRANTED] + amount > MAX_MICROS then
    return refuse_administration(account, admin_seq, settlement, INVALID_AMOUNT)
  end
  if live_grants(account) >= max_grants then
    return refuse_administration(account, admin_seq, settlement, TOO_MANY_GRANTS, max_grants)
  end
  account.doc[A_ADMIN_SEQ] = admin_seq
  add_grant(account, admin_seq, kind, priority, amount, acquire, expire, settlement)
  changed(account)
  return applied(account, true)
end

transitions[9] = function(account, op)
  local _, _, admin_seq, number, settlement = unpack(op) -- VoidGrant
  if not next_in_line(account, admin_seq) then
    return applied(account, false)
  end
  local i = find_grant(account, number)
  if not i then
    return refuse_administration(account, admin_seq, settlement, GRANT_NOT_FOUND)
  end
  local doc, grants = account.doc, account.doc[A_GRANTS]
  local amount, kind = grants[i + G_REMAINING], grants[i + G_KIND]
  grants[i + G_REMAINING], grants[i + G_VOIDED] = 0, 1
  doc[A_AVAILABLE] = doc[A_AVAILABLE] - amount
  doc[A_VOIDED] = doc[A_VOIDED] + amount
  doc[A_ADMIN_SEQ] = admin_seq
  emit(account, K_GRANT_VOIDED, now, amount, { number, kind, amount }, admin_seq, settlement, number, kind)
  changed(account)
  return applied(account, true)
end

local function set_config_seq(doc, config_seq)
  if config_seq and config_seq ~= ABSENT and config_seq ~= (doc[A_CONFIG_SEQ] or 0) then
    with_extras(doc)[A_CONFIG_SEQ] = config_seq
  end
end

-- Counts and remembers who is a member; the fields are written with everything else.
local function change_members(account, users, present)
  account.members = account.members or {}
  for i = 1, #users do
    local user_id = users[i]
    if is_member(account, user_id) ~= present then
      account.doc[A_MEMBERS] = account.doc[A_MEMBERS] + (present and 1 or -1)
    end
    account.members[user_id] = present
  end
end

transitions[10] = function(account, op)
  local _, _, admin_seq, suspended, enforcement, overdraft_limit, members_added, members_removed, config_seq,
    low_balance, critical_balance = unpack(op) -- Configure
  if not next_in_line(account, admin_seq) then
    return applied(account, false)
  end
  local doc = account.doc
  doc[A_SUSPENDED] = suspended and 1 or 0
  doc[A_ENFORCEMENT], doc[A_OVERDRAFT], doc[A_ADMIN_SEQ] = enforcement, overdraft_limit, admin_seq
  set_config_seq(doc, config_seq)
  low_balance, critical_balance = low_balance or ABSENT, critical_balance or ABSENT
  if doc[A_LOW_BALANCE] or low_balance ~= ABSENT or critical_balance ~= ABSENT then
    with_extras(doc)
    doc[A_LOW_BALANCE], doc[A_CRITICAL_BALANCE] = low_balance, critical_balance
  end
  change_members(account, members_removed, false)
  change_members(account, members_added, true)
  emit(account, K_CONFIGURED, now, 0, {}, admin_seq, '', 0, 0)
  changed(account)
  return applied(account, true)
end

-- Of what is available of older grants of some kinds, `cap` is carried over; the excess expires in burn-down order.
local function carry_over(account, admin_seq, cap, kinds)
  load_tail(account)
  local doc = with_extras(account.doc)
  doc[A_CYCLE_SEQ], doc[A_CARRY_KINDS] = admin_seq, kinds
  local grants, total = doc[A_GRANTS], 0
  for i = 1, #grants, GRANT_STRIDE do
    if of_earlier_cycle(doc, grants[i], grants[i + G_KIND]) then
      total = total + grants[i + G_REMAINING]
    end
  end
  local excess = math.max(0, total - cap)
  doc[A_CARRY_ROOM] = math.max(0, cap - total)
  for i = 1, #grants, GRANT_STRIDE do
    local number, kind = grants[i], grants[i + G_KIND]
    local part = of_earlier_cycle(doc, number, kind) and min(excess, grants[i + G_REMAINING]) or 0
    if part > 0 then
      excess = excess - part
      grants[i + G_REMAINING] = grants[i + G_REMAINING] - part
      doc[A_AVAILABLE] = doc[A_AVAILABLE] - part
      doc[A_EXPIRED] = doc[A_EXPIRED] + part
      emit(account, K_GRANT_EXPIRED, now, part, { number, kind, part }, 0, '', number, kind)
    end
  end
end

transitions[16] = function(account, op)
  local _, _, admin_seq, kind, priority, amount, acquire, expire, max_grants, cap, kinds, settlement, config_seq =
    unpack(op) -- Renew
  if not next_in_line(account, admin_seq) then
    return applied(account, false)
  end
  local doc = account.doc
  if doc[A_GRANTED] + amount > MAX_MICROS then
    return refuse_administration(account, admin_seq, settlement, INVALID_AMOUNT)
  end
  if amount > 0 and live_grants(account) >= max_grants then
    return refuse_administration(account, admin_seq, settlement, TOO_MANY_GRANTS, max_grants)
  end
  doc[A_ADMIN_SEQ] = admin_seq
  set_config_seq(doc, config_seq)
  if cap ~= ABSENT then
    carry_over(account, admin_seq, cap, kinds)
  end
  local at = #entries + 1 -- where the record of the operation itself will stand
  if amount > 0 then
    add_grant(account, admin_seq, kind, priority, amount, acquire, expire, settlement)
  else
    emit(account, K_CONFIGURED, now, 0, {}, admin_seq, settlement, 0, 0)
  end
  if cap ~= ABSENT then
    local entry = entries[at]
    entry[E_ALERTS], entry[E_WINDOWS], entry[E_CARRY_ROOM] = {}, {}, doc[A_CARRY_ROOM]
  end
  changed(account)
  return applied(account, true)
end
