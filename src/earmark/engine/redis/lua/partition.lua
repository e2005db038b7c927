-- The recovery script: the only writer of a partition's epoch and run id.
--
-- KEYS  accounts, reservations, deadlines, stream, meta, waiters, tickets, counters (of one partition)
-- ARGV  'begin', epoch, store id, wipe ('1' or '0'), seq, flushed seq: fence everybody out under a higher epoch; the run
--         id is emptied, so that only the recovering sidecar, which sends an empty run id, may execute operations; the
--         seq is raised to what anybody knows, so that what recovery settles comes after it; a partition that was
--         behind what SQL flushed is marked, until a recovery has caught up and finished
--       'finish', epoch, run id, look-up window: serve again; for the window (microseconds; 0 for not at all) ids that
--         Redis does not know are looked up in SQL
--       'offset', microseconds: move the clock of a store that was initialised for tests
-- Result: 1 done; 0 another recovery has a higher epoch (or the meta key is gone)

local META = KEYS[5]

local function digits(number)
  return string.format('%.0f', number)
end

local command, epoch = ARGV[1], tonumber(ARGV[2])
local present = tonumber(redis.call('HGET', META, 'epoch') or '-1')

if command == 'begin' then
  if present >= epoch then
    return 0
  end
  if ARGV[4] == '1' then
    redis.call('DEL', unpack(KEYS))
  end
  for _, field in ipairs({ 'seq', 'flushed', 'now', 'evict_generation', 'retire_generation' }) do
    redis.call('HSETNX', META, field, '0')
  end
  local seq, flushed = tonumber(redis.call('HGET', META, 'seq')), tonumber(ARGV[6])
  if ARGV[4] == '0' and seq < flushed then
    redis.call('HSET', META, 'behind', '1')
  end
  redis.call('HSET', META, 'epoch', ARGV[2], 'run_id', '', 'store_id', ARGV[3], 'format', '1',
    'seq', digits(math.max(seq, tonumber(ARGV[5]), flushed)),
    'flushed', digits(math.max(flushed, tonumber(redis.call('HGET', META, 'flushed')))))
  return 1
end

if command == 'finish' then
  if present ~= epoch then
    return 0
  end
  redis.call('HSET', META, 'run_id', ARGV[3])
  redis.call('HDEL', META, 'behind')
  if tonumber(ARGV[4]) > 0 then
    local clock = redis.call('TIME')
    local offset = tonumber(redis.call('HGET', META, 'clock_offset') or '0')
    local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2]) + offset
    redis.call('HSET', META, 'lookup_until', digits(now + tonumber(ARGV[4])))
  end
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
