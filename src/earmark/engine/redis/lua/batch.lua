-- The batch function: executes up to a few hundred operations on one partition.
--
-- keys  accounts, reservations, deadlines, stream, meta, waiters, tickets, counters (of one partition, in one slot)
-- args  1: msgpack of { format, epoch, run id, seen seq, replay window, horizon, operations, low, critical }: the last are
--       the thresholds of accounts without their own, below 0 for none
-- Result: msgpack of { format, status, epoch, now, seq, flushed, due left, results }
--   status 0 served, 1 must recover (no meta, another run id, a seq behind what was seen), 2 another epoch, 3 format
--
-- Phases: fence; due events; operations; one write phase. Nothing is written unless the fence holds.

local STATUS_RECOVER, STATUS_EPOCH, STATUS_FORMAT = 1, 2, 3

local function fenced(status, epoch, seq)
  return pack({ FORMAT, status, epoch, 0, seq, 0, false, {} })
end

-- The digest that an operation looks up: its third field, for those that have one.
local HAS_DIGEST = { [1] = true, [2] = true, [3] = true, [4] = true, [5] = true, [7] = true }
local LOADS = { [11] = true, [15] = true } -- work on an account that is missing

local function execute(op)
  local tag = op[1]
  if tag >= 32 then
    return partition_transitions[tag](op)
  end
  local account = account_of(op[2])
  if LOADS[tag] then
    return transitions[tag](account, op)
  elseif not account then
    return { ACCOUNT_MISSING, evict_generation, flushed }
  end
  if all_watched or account.doc[A_LOW_BALANCE] then
    local before, appended = watched_total(account)
    local result = transitions[tag](account, op)
    raise_alerts(account, before, appended)
    return result
  end
  local result = transitions[tag](account, op)
  if account.reached then
    raise_alerts(account)
  end
  return result
end

local function read_ahead(operations)
  local ids, digests, id_count, digest_count = {}, {}, 0, 0
  for i = 1, #operations do
    local op = operations[i]
    local tag = op[1]
    if tag < 32 then
      local id = op[2]
      if accounts[id] == nil then
        accounts[id] = false -- noted as asked for
        id_count = id_count + 1
        ids[id_count] = id
      end
      local digest = HAS_DIGEST[tag] and op[3]
      if digest and records[digest] == nil then
        records[digest] = false
        digest_count = digest_count + 1
        digests[digest_count] = digest
      end
    end
  end
  prefetch(ACCOUNTS, ids, accounts, true)
  prefetch(RESERVATIONS, digests, records, false)
end

local executing -- the place of the operation that is executed now

-- Executes from one operation on, under one protected call: an error ends it at the operation that is to blame.
local function execute_from(first, operations, due_left, results)
  for i = first, #operations do
    executing = i
    local op = operations[i]
    if due_left and op[1] < 32 then
      results[i] = { AGAIN }
    elseif op[1] < 32 and broken[op[2]] then
      results[i] = { BUG, broken[op[2]] }
    else
      results[i] = execute(op)
    end
  end
end

local function execute_all(operations, due_left)
  local results, first = {}, 1
  while first <= #operations do
    local fine, message = pcall(execute_from, first, operations, due_left, results)
    if fine then
      break
    end
    local op = operations[executing]
    broken[op[1] < 32 and op[2] or ''] = tostring(message)
    results[executing] = { BUG, tostring(message) }
    first = executing + 1
  end
  if next(broken) then -- what this call did to a broken account does not happen: neither do its answers
    for i = 1, #operations do
      local message = operations[i][1] < 32 and broken[operations[i][2]]
      if message then
        results[i] = { BUG, message }
      end
    end
  end
  return results
end

local function write_accounts()
  local fields, gone, n = {}, {}, 0
  for id, account in pairs(accounts) do
    if account and account.dirty and not broken[id] then
      local tail = compact_grants(account)
      if tail then
        if #tail > 0 then
          fields[n + 1], fields[n + 2] = tail_field(account), pack(tail)
          n = n + 2
        else
          gone[#gone + 1] = tail_field(account)
        end
      end
      if account.members then
        for user_id, present in pairs(account.members) do
          if present then
            fields[n + 1], fields[n + 2] = member_field(account, user_id), digits(account.doc[A_GENERATION])
            n = n + 2
          else
            gone[#gone + 1] = member_field(account, user_id)
          end
        end
      end
      publish_changes(account)
      fields[n + 1], fields[n + 2] = id, pack(account.doc)
      n = n + 2
    end
  end
  for i = 1, n, 2000 do
    call('HSET', ACCOUNTS, unpack(fields, i, min(i + 1999, n)))
  end
  for i = 1, #gone, 2000 do
    call('HDEL', ACCOUNTS, unpack(gone, i, min(i + 1999, #gone)))
  end
end

-- Records, and when they are looked at again: an open one at its end; an ended one moves to the second era, in which it
-- may go when its replay window is over. Scores are passed as numbers: Redis reads them exactly, and faster than digits.
local function write_records()
  local fields, scores, n, retire = {}, {}, 0, RETIRE_ERA + now + replay_window
  for digest, id in pairs(dirty_records) do
    if not broken[id] then
      local record = records[digest]
      fields[n + 1], fields[n + 2] = digest, pack(record)
      scores[n + 1], scores[n + 2] = record[R_STATE] == ACTIVE and record[R_EXPIRE] or retire, HOLD_MEMBER .. digest
      n = n + 2
    end
  end
  for i = 1, n, 2000 do
    call('HSET', RESERVATIONS, unpack(fields, i, min(i + 1999, n)))
    call('ZADD', DEADLINES, unpack(scores, i, min(i + 1999, n)))
  end
end

local function write_counters()
  local fields, gone = {}, {}
  for field, id in pairs(dirty_counters) do
    if not broken[id] then
      if counters[field] then
        fields[#fields + 1] = field
        fields[#fields + 1] = pack(counters[field])
      else
        gone[#gone + 1] = field
      end
    end
  end
  for i = 1, #fields, 2000 do
    call('HSET', COUNTERS, unpack(fields, i, min(i + 1999, #fields)))
  end
  for i = 1, #gone, 2000 do
    call('HDEL', COUNTERS, unpack(gone, i, min(i + 1999, #gone)))
  end
end

local function write_deadlines()
  local set, gone, n = {}, {}, 0
  for member, score in pairs(deadlines) do
    if not broken[account_of_member(member)] then
      if score then
        set[n + 1], set[n + 2] = score, member
        n = n + 2
      else
        gone[#gone + 1] = member
      end
    end
  end
  for i = 1, n, 2000 do
    call('ZADD', DEADLINES, unpack(set, i, min(i + 1999, n)))
  end
  for i = 1, #gone, 2000 do
    call('ZREM', DEADLINES, unpack(gone, i, min(i + 1999, #gone)))
  end
end

-- Appends everything that settled as one stream element under the id of its last seq; returns that seq.
local function write_entries(epoch)
  if next(broken) then
    local kept = {}
    for i = 1, #entries do
      if not broken[entries[i][2]] then
        kept[#kept + 1] = entries[i]
      end
    end
    entries = kept
  end
  if #entries == 0 then
    return base_seq
  end
  local seq = base_seq + #entries
  call('XADD', STREAM, digits(seq) .. '-0', 'e', pack({ FORMAT, epoch, base_seq + 1, now, entries }))
  return seq
end

-- What a call begins with: nothing of the call before it may be left.
local function begin(keys)
  call, pack, unpack_one, unpack_limit = redis.call, cmsgpack.pack, cmsgpack.unpack, cmsgpack.unpack_limit
  min, format = math.min, string.format
  ACCOUNTS, RESERVATIONS, DEADLINES, STREAM, META, WAITERS, TICKETS, COUNTERS = unpack(keys)
  CHANNEL = string.sub(META, 1, -5) .. 'changes'
  accounts, records, dirty_records, deadlines, entries, broken = {}, {}, {}, {}, {}, {}
  counters, dirty_counters, starts = {}, {}, {}
end

local function execute_batch(keys, args)
  begin(keys)
  local wire_format, epoch, run_id, seen_seq, window, soon_horizon, operations, low, critical =
    unpack(unpack_one(args[1]))
  if wire_format ~= FORMAT then
    return fenced(STATUS_FORMAT, 0, 0)
  end
  local meta = call('HMGET', META, 'epoch', 'run_id', 'seq', 'flushed', 'now', 'evict_generation', 'retire_generation',
    'clock_offset')
  if not meta[1] or not meta[2] or meta[2] ~= run_id then
    return fenced(STATUS_RECOVER, tonumber(meta[1] or '0'), tonumber(meta[3] or '0'))
  end
  base_seq = tonumber(meta[3])
  if base_seq < seen_seq then
    return fenced(STATUS_RECOVER, tonumber(meta[1]), base_seq)
  end
  if tonumber(meta[1]) ~= epoch then
    return fenced(STATUS_EPOCH, tonumber(meta[1]), base_seq)
  end
  flushed, evict_generation, retire_generation = tonumber(meta[4]), tonumber(meta[6]), tonumber(meta[7])
  replay_window, horizon, low_default, critical_default = window, soon_horizon, low or ABSENT, critical or ABSENT
  all_watched = low_default >= 0 or critical_default >= 0
  local clock = call('TIME')
  now = math.max(tonumber(clock[1]) * 1000000 + tonumber(clock[2]) + tonumber(meta[8] or '0'), tonumber(meta[5]))

  local flushed_before, evicted_before, retired_before = flushed, evict_generation, retire_generation
  read_ahead(operations)
  -- While a partition recovers, its accounts may be behind SQL: what they settled now would take numbers that SQL
  -- has given already.
  local due_left = run_id ~= '' and settle_due_events()
  local results = execute_all(operations, due_left)
  write_accounts()
  write_records()
  if next(dirty_counters) then
    write_counters()
  end
  write_deadlines()
  local seq = write_entries(epoch)
  if seq ~= base_seq or next(dirty_records) or next(deadlines) then
    call('HSET', META, 'seq', digits(seq), 'now', digits(now))
  end
  if flushed ~= flushed_before or evict_generation ~= evicted_before or retire_generation ~= retired_before then
    call('HSET', META, 'flushed', digits(flushed), 'evict_generation', digits(evict_generation), 'retire_generation',
      digits(retire_generation))
  end
  return pack({ FORMAT, 0, epoch, now, seq, flushed, due_left, results })
end
