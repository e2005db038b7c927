-- ReadBalance and ReadReservation.

local WATCH_SLACK = 1000000 -- a watch is renewed only when it would lapse this much earlier, to spare writes

transitions[6] = function(account, op)
  local _, _, with_grants, watch = unpack(op) -- ReadBalance
  local doc = account.doc
  if watch > 0 and doc[A_WATCHED_UNTIL] < now + watch - WATCH_SLACK then
    doc[A_WATCHED_UNTIL] = now + watch
    account.dirty = true
  end
  local listed = {}
  if with_grants then
    load_tail(account)
    local grants = doc[A_GRANTS]
    for i = 1, #grants, GRANT_STRIDE do
      if grants[i + G_REMAINING] > 0 or grants[i + G_HELD] > 0 then
        for offset = 0, GRANT_STRIDE - 1 do
          listed[#listed + 1] = grants[i + offset]
        end
      end
    end
  end
  return { BALANCE_READ, balance_view(account), listed }
end

transitions[7] = function(account, op)
  local _, _, digest = unpack(op) -- ReadReservation
  local record = record_in(account, digest)
  if not record then
    return { RESERVATION_MISSING, retire_generation, flushed }
  end
  return { RESERVATION_READ, reservation_view(digest, record) }
end
