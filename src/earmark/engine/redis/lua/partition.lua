-- The recovery script: the only writer of a partition's epoch and run id.
--
-- KEYS  accounts, reservations, deadlines, stream, meta, waiters, tickets (of one partition)
-- ARGV  'begin', epoch, store id, wipe ('1' or '0'): fence everybody out under a higher epoch; the run id is emptied,
--         so that only the recovering sidecar, which sends an empty run id, may execute operations
--       'finish', epoch, run id, seq: serve again
--       'offset', microseconds: move the clock of a store that was initialised for tests
-- Result: 1 done; 0 another recovery has a higher epoch (or the meta key is gone)

local META = KEYS[5]
local command, epoch = ARGV[1], tonumber(ARGV[2])
local present = tonumber(redis.call('HGET', META, 'epoch') or '-1')

if command == 'begin' then
  if present >= epoch then
    return 0
  end
  if ARGV[4] == '1' then
    redis.call('DEL', unpack(KEYS))
  end
  redis.call('HSET', META, 'epoch', ARGV[2], 'run_id', '', 'store_id', ARGV[3], 'format', '1')
  for _, field in ipairs({ 'seq', 'flushed', 'now', 'evict_generation', 'retire_generation' }) do
    redis.call('HSETNX', META, field, '0')
  end
  return 1
end

if command == 'finish' then
  if present ~= epoch then
    return 0
  end
  local seq = math.max(tonumber(ARGV[4]), tonumber(redis.call('HGET', META, 'seq')))
  redis.call('HSET', META, 'run_id', ARGV[3], 'seq', string.format('%.0f', seq))
  return 1
end

if command == 'offset' then
  if present < 0 then
    return 0
  end
  redis.call('HINCRBY', META, 'clock_offset', ARGV[2])
  return 1
end

return redis.error_reply('unknown command of the recovery script')
