-- Operations on a whole partition: RetireReservations, ConfirmFlush, RenewLease, ListHolds.

partition_transitions[32] = function(op)
  local _, limit = unpack(op) -- RetireReservations
  local from, to = digits(RETIRE_ERA), digits(RETIRE_ERA + now)
  local members = call('ZRANGEBYSCORE', DEADLINES, from, to, 'LIMIT', 0, limit)
  local count = 0
  for i = 1, #members do
    local digest = string.sub(members[i], 2)
    if not dirty_records[digest] then -- settled again by this very call, it stays for another window
      local record = record_of(digest)
      if record and record[R_SEQ] > flushed then
        break -- in order of settling: those behind it are not in SQL either
      end
      call('ZREM', DEADLINES, members[i])
      call('HDEL', RESERVATIONS, digest)
      records[digest] = false
      dirty_records[digest] = nil
      count = count + 1
    end
  end
  if count > 0 then
    retire_generation = retire_generation + 1
  end
  return { SWEPT, count }
end

partition_transitions[33] = function(op)
  local _, confirmed, trim_before = unpack(op) -- ConfirmFlush
  flushed = math.max(flushed, confirmed)
  local count = 0
  if trim_before > 0 then
    count = call('XTRIM', STREAM, 'MINID', digits(math.min(trim_before, flushed)))
  end
  return { SWEPT, count }
end

partition_transitions[34] = function(op)
  local _, name, owner, ttl = unpack(op) -- RenewLease
  local held = call('HMGET', META, 'lease:' .. name, 'lease_until:' .. name)
  local till = tonumber(held[2] or '0')
  if held[1] and held[1] ~= owner and held[1] ~= '' and till > now then
    return { LEASE_RENEWED, false, till }
  end
  if ttl == 0 then
    call('HDEL', META, 'lease:' .. name, 'lease_until:' .. name)
    return { LEASE_RENEWED, false, now }
  end
  call('HSET', META, 'lease:' .. name, owner, 'lease_until:' .. name, digits(now + ttl))
  return { LEASE_RENEWED, true, now + ttl }
end

-- Reads what was written before this call: a hold of the same batch is not listed yet.
partition_transitions[35] = function(op)
  local _, account_id, after_time, after_member, limit = unpack(op) -- ListHolds
  local rank = after_member ~= '' and call('ZRANK', DEADLINES, HOLD_MEMBER .. after_member)
  local start = rank and rank + 1 or call('ZCOUNT', DEADLINES, '-inf', '(' .. digits(after_time))
  local listed = call('ZRANGE', DEADLINES, start, start + limit - 1, 'WITHSCORES')
  local views, next_time, next_member = {}, 0, ''
  for i = 1, #listed, 2 do
    local score, member = tonumber(listed[i + 1]), listed[i]
    if score >= RETIRE_ERA then
      return { HOLDS_READ, views, 0, '' }
    end
    next_time, next_member = score, string.sub(member, 2)
    local record = string.sub(member, 1, 1) == HOLD_MEMBER and record_of(next_member)
    local wanted = record and (account_id == '' or record[R_ACCOUNT] == account_id)
    if wanted and record[R_STATE] == ACTIVE and (rank or score ~= after_time or next_member > after_member) then
      views[#views + 1] = reservation_view(next_member, record)
    end
  end
  if #listed < 2 * limit then
    next_time, next_member = 0, ''
  end
  return { HOLDS_READ, views, next_time, next_member }
end
