-- Reads some accounts and their open reservations at one moment. Changes nothing; for reconciliation, on accounts that
-- never stand still long enough to be read in parts. Its time grows with the partition's open reservations: the caller
-- counts them first.
--
-- KEYS  accounts, reservations, deadlines (of one partition)
-- ARGV  account ids
-- Result: for each account { packed document or '', packed tail or '', packed record, ... }

local ACCOUNTS, RESERVATIONS, DEADLINES = KEYS[1], KEYS[2], KEYS[3]

local wanted, result = {}, {}
for i = 1, #ARGV do
  local id = ARGV[i]
  result[i] = { redis.call('HGET', ACCOUNTS, id) or '', redis.call('HGET', ACCOUNTS, id .. '\0t') or '' }
  wanted[id] = result[i]
end
-- Below 2^52 stand the deadlines of what is open.
for _, member in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', '(4503599627370496')) do
  local packed = string.sub(member, 1, 1) == '1' and redis.call('HGET', RESERVATIONS, string.sub(member, 2))
  if packed then
    local found = wanted[cmsgpack.unpack(packed)[3]]
    if found then
      found[#found + 1] = packed
    end
  end
end
return result
