-- Release: give a reservation back; the generation failed and is not charged.
-- COMMITTED: ALREADY_COMMITTED; RELEASED: replay; EXPIRED: DONE, stays EXPIRED; unknown: RESERVATION_MISSING, or, where
-- the caller has looked in SQL and nothing was retired since, a RELEASED record of amount 0 that the Reserve, still on
-- its way, will find.

transitions[4] = function(account, op)
  local _, _, digest, settlement, tombstone = unpack(op) -- Release
  local record = record_in(account, digest)
  if not record then
    if tombstone ~= retire_generation or record_of(digest) then
      return { RESERVATION_MISSING, retire_generation, flushed }
    end
    record = new_record(account, '', 0, 0, now, 0, '{}')
    record[R_STATE], record[R_SETTLE] = RELEASED, now
    leave_queue(account, digest)
    put_record(account, digest, record)
    return done(account, digest, record, false)
  end
  local state = record[R_STATE]
  if state == COMMITTED then
    return refused(ALREADY_COMMITTED, record[R_CHARGED])
  elseif state == RELEASED then
    return done(account, digest, record, true)
  elseif state == EXPIRED then
    return done(account, digest, record, false)
  end
  local caused = {}
  settle_allocations(account, record, 0, now, caused)
  record[R_STATE], record[R_SETTLE], record[R_ALLOCATIONS] = RELEASED, now, {}
  if record[R_WINDOWS] then
    count_ending(account, record[R_WINDOWS], record[R_RESERVED] + record[R_UNCOLLECTED], 0)
  end
  record[R_UNCOLLECTED] = 0
  account.doc[A_OPEN] = account.doc[A_OPEN] - 1
  emit_ending(account, K_RELEASE, now, 0, {}, settlement, digest, record, 0)
  emit_caused(account, caused, now)
  put_record(account, digest, record)
  changed(account)
  return done_for_good(account, digest, record, false)
end
