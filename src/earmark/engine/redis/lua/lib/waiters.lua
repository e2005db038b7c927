-- Who waits for credits: tickets in order of arrival per account. WAITERS orders them (one sorted set, all scores 0,
-- members "account NUL number ticket"), TICKETS holds { account, number, owner, deadline, alive until } by ticket.
-- A_WAITERS is a hint: 0 means that nobody waits. These keys are written at once: a ticket that a failed call left
-- behind lapses by itself.

local function waiter_member(id, number, ticket)
  return id .. '\0' .. format('%016.0f', number) .. ticket
end

local function drop_ticket(account, ticket, held)
  call('ZREM', WAITERS, waiter_member(account.id, held[2], ticket))
  call('HDEL', TICKETS, ticket)
  account.doc[A_WAITERS] = math.max(0, account.doc[A_WAITERS] - 1)
  account.dirty = true
  account.raised = true -- whoever is next may go
end

-- A ticket that lapsed is none: its caller went away, and a later call with its id begins to wait anew.
local function ticket_of(account, ticket)
  if account.doc[A_WAITERS] == 0 then
    return nil
  end
  local packed = call('HGET', TICKETS, ticket)
  local held = packed and unpack_one(packed) or nil
  if not held or held[1] ~= account.id then
    return nil
  end
  if now >= held[5] then
    drop_ticket(account, ticket, held)
    return nil
  end
  return held
end

-- The first live ticket of an account, or nil; lapsed ones before it go, at most 64 a call. One whose time is over holds
-- up nobody, but stays until its caller was told, who would otherwise begin to wait anew. `own` counts while it stands.
local function first_ticket(account, own)
  local id = account.id
  local passed = 0
  for _ = 1, 64 do
    local member = call('ZRANGEBYLEX', WAITERS, '[' .. id .. '\0', '(' .. id .. '\1', 'LIMIT', passed, 1)[1]
    if not member then
      if passed == 0 then
        account.doc[A_WAITERS] = 0
        account.dirty = true
      end
      return nil
    end
    local ticket = string.sub(member, #id + 18)
    local packed = call('HGET', TICKETS, ticket)
    local held = packed and unpack_one(packed)
    if held and held[1] == id and waiter_member(id, held[2], ticket) == member then
      if now >= held[5] then
        drop_ticket(account, ticket, held)
      elseif now < held[4] or ticket == own then
        return ticket
      else
        passed = passed + 1
      end
    else
      call('ZREM', WAITERS, member) -- left behind by a call that failed
    end
  end
  return nil
end

-- Whether the holder of `ticket` may take what is `enough` now; otherwise it stands in the queue.
-- Returns 'take', 'wait' or 'late' (its time is over).
local function turn(account, ticket, wait, owner, enough)
  local doc = account.doc
  local held = ticket_of(account, ticket)
  local first = doc[A_WAITERS] > 0 and first_ticket(account, ticket) or nil
  if enough and (first == nil or first == ticket) then
    if held then
      drop_ticket(account, ticket, held)
    end
    return 'take'
  end
  if held and now >= held[4] then
    drop_ticket(account, ticket, held)
    return 'late'
  end
  if not held then
    doc[A_NEXT_TICKET] = doc[A_NEXT_TICKET] + 1
    held = { account.id, doc[A_NEXT_TICKET], owner, now + wait, 0 }
    call('ZADD', WAITERS, 0, waiter_member(account.id, held[2], ticket))
    doc[A_WAITERS] = doc[A_WAITERS] + 1
    account.dirty = true
  end
  held[3], held[5] = owner, now + TICKET_TTL
  call('HSET', TICKETS, ticket, pack(held))
  return 'wait'
end

local function leave_queue(account, ticket)
  local held = ticket_of(account, ticket)
  if held then
    drop_ticket(account, ticket, held)
  end
end

-- A refusal for any reason but the balance ends the ticket of the caller that waits.
local function stop_waiting(account, ticket, owner)
  if owner ~= '' then
    leave_queue(account, ticket)
  end
end

-- Tells the sidecars who may go on, and who watches.
local function publish_changes(account)
  local doc = account.doc
  if account.raised and doc[A_WAITERS] > 0 and doc[A_AVAILABLE] > 0 then
    local ticket = first_ticket(account)
    if ticket then
      call('PUBLISH', CHANNEL, pack({ 1, account.id, ticket }))
    end
  end
  if doc[A_WATCHED_UNTIL] > now then
    call('PUBLISH', CHANNEL, pack({ 2, account.id, '' }))
  end
end
