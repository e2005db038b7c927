-- ApplyGrant, VoidGrant, Configure: what SQL recorded under an admin_seq, applied exactly as the last + 1.
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

transitions[8] = function(account, op)
  local _, _, admin_seq, kind, priority, amount, acquire, expire, max_grants, settlement = unpack(op) -- ApplyGrant
  if not next_in_line(account, admin_seq) then
    return applied(account, false)
  end
  local doc = account.doc
  if doc[A_GRANTED] + amount > MAX_MICROS then
    return refuse_administration(account, admin_seq, settlement, INVALID_AMOUNT)
  end
  if live_grants(account) >= max_grants then
    return refuse_administration(account, admin_seq, settlement, TOO_MANY_GRANTS, max_grants)
  end
  doc[A_ADMIN_SEQ] = admin_seq
  doc[A_GRANTED] = doc[A_GRANTED] + amount
  local number = admin_seq
  local gone = expire ~= 0 and expire <= now -- its moment passed while it was on its way
  local repaid = gone and 0 or min(doc[A_DEBT], amount)
  local remaining = amount - repaid
  doc[A_DEBT] = doc[A_DEBT] - repaid
  doc[A_AVAILABLE] = doc[A_AVAILABLE] + remaining
  emit(account, K_GRANT, now, amount, { number, kind, amount }, admin_seq, settlement, number, kind, expire)
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
  local _, _, admin_seq, suspended, enforcement, overdraft_limit, members_added, members_removed =
    unpack(op) -- Configure
  if not next_in_line(account, admin_seq) then
    return applied(account, false)
  end
  local doc = account.doc
  doc[A_SUSPENDED] = suspended and 1 or 0
  doc[A_ENFORCEMENT], doc[A_OVERDRAFT], doc[A_ADMIN_SEQ] = enforcement, overdraft_limit, admin_seq
  change_members(account, members_removed, false)
  change_members(account, members_added, true)
  emit(account, K_CONFIGURED, now, 0, {}, admin_seq, '', 0, 0)
  changed(account)
  return applied(account, true)
end
