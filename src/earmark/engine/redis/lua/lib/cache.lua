-- What one call works on: documents and records are read once, changed in memory, and written in one phase at the end.
-- An error in a transition (a bug) drops everything that the call did to that account and to no other.

-- The library is loaded once and called many times: what belongs to a call is set up by `begin` in batch.lua.

-- Of redis, cmsgpack, math and string, which do not exist yet while the library is loaded.
local call, pack, unpack_one, unpack_limit, min, format

local now -- one moment for the whole call, microseconds
local base_seq, flushed, evict_generation, retire_generation -- of the partition's meta
local replay_window, horizon -- microseconds
local low_default, critical_default -- thresholds of accounts without their own; below 0 for none
local all_watched -- whether there are such

local accounts -- account id -> { id, doc, dirty, tail_loaded, raised, members } or false: not in Redis
local records -- digest -> record, or false: not in Redis
local starts -- of windows, as the fields of counters end with them
local counters -- field -> counter, or false: not in Redis
local dirty_records, dirty_counters -- digest or field -> account id
local deadlines -- of grants and counters: member -> score, or false: it goes
local entries -- stream records in order
local broken -- account id -> message

local transitions, partition_transitions = {}, {} -- by the operation's tag

local function digits(number)
  return format('%.0f', number)
end

local function without_first(_, ...)
  return ...
end

-- Unpacks an array of 16 elements or more (its head is three bytes) into a table made to measure: the table that
-- unpack_one fills element by element is enlarged six times on the way.
local function unpack_wide(packed)
  return { without_first(unpack_limit(packed, MAX_ELEMENTS, 3)) }
end

local function account_of(id)
  local account = accounts[id]
  if account == nil then
    local packed = call('HGET', ACCOUNTS, id)
    account = packed and { id = id, doc = unpack_wide(packed), dirty = false } or false
    accounts[id] = account
  end
  return account
end

local function record_of(digest)
  local record = records[digest]
  if record == nil then
    local packed = call('HGET', RESERVATIONS, digest)
    record = packed and unpack_wide(packed) or false
    records[digest] = record
  end
  return record
end

-- A record of this very account: a forged reservation id may pair an account with the digest of another's.
local function record_in(account, digest)
  local record = record_of(digest)
  return record and record[R_ACCOUNT] == account.id and record or nil
end

local function prefetch(key, fields, cache, wrap)
  if #fields == 0 then
    return
  end
  local packed = call('HMGET', key, unpack(fields))
  for i = 1, #fields do
    local value = packed[i]
    if value then
      value = unpack_wide(value)
      cache[fields[i]] = wrap and { id = fields[i], doc = value, dirty = false } or value
    else
      cache[fields[i]] = false
    end
  end
end

-- The deadline of a record is written with it.
local function put_record(account, digest, record)
  records[digest] = record
  dirty_records[digest] = account.id
end

local function set_deadline(member, score)
  deadlines[member] = score
end

local function grant_member(account, number)
  return GRANT_MEMBER .. account.id .. '\0' .. format('%016.0f', number)
end

-- Members stand in fields of their own; a field counts only with the generation of the document, so that those that
-- an eviction or a rebuild left behind mean nothing.
local function member_field(account, user_id)
  return account.id .. '\0m\0' .. user_id
end

local function is_member(account, user_id)
  local known = account.members and account.members[user_id]
  if known == nil then
    local generation = call('HGET', ACCOUNTS, member_field(account, user_id))
    known = generation ~= false and tonumber(generation) == account.doc[A_GENERATION]
  end
  return known
end

-- Makes room in a document for what most accounts leave out.
local function with_extras(doc)
  if doc[A_CONFIG_SEQ] == nil then
    doc[A_CONFIG_SEQ], doc[A_LOW_BALANCE], doc[A_CRITICAL_BALANCE] = 0, ABSENT, ABSENT
    doc[A_CYCLE_SEQ], doc[A_CARRY_ROOM], doc[A_CARRY_KINDS] = 0, 0, 0
  end
  return doc
end

-- Every operation or due event that changes an account calls this once.
local function changed(account)
  local doc = account.doc
  doc[A_VERSION] = doc[A_VERSION] + 1
  doc[A_TOUCHED] = now
  account.dirty = true
end

-- Appends a stream record; kinds below 20 are ledger entries and take the account's next number.
local function emit(account, kind, at, amount, allocations, admin_seq, settlement, grant, grant_kind, grant_expire, refusal)
  local doc = account.doc
  local number = 0
  if kind < 20 then
    number = doc[A_ENTRY_NUMBER] + 1
    doc[A_ENTRY_NUMBER] = number
  end
  local n = #entries + 1
  entries[n] = {
    kind, account.id, number, at, amount, doc[A_AVAILABLE], allocations, admin_seq, settlement,
    '', 0, 0, 0, 0, grant_expire or 0, 0, '', '', grant, grant_kind, refusal or 0,
  }
  doc[A_LAST_SEQ] = base_seq + n
end

-- What an entry says besides: each limit window of the record with what it counts there, the room of a rollover cap.
local function add_extras(account, entry, record, counted)
  local windows, uses = record[R_WINDOWS] or {}, {}
  for i = 1, #windows, 3 do
    uses[#uses + 1] = { windows[i], windows[i + 1], windows[i + 2], counted }
  end
  entry[E_ALERTS], entry[E_WINDOWS] = {}, uses
  if account.carried then
    entry[E_CARRY_ROOM] = account.doc[A_CARRY_ROOM]
    account.carried = nil
  end
end

-- Appends the entry that ends a reservation, and marks the record with it. A free operation that the catalog does not
-- record leaves none, as long as nothing was held, charged or left uncollected.
-- `counted` is what it counts for in the windows of limits.
local function emit_ending(account, kind, at, amount, allocations, settlement, digest, record, counted)
  if record[R_SILENT] == 1 and record[R_RESERVED] == 0 and record[R_UNCOLLECTED] == 0 and record[R_UNFUNDED] == 0
    and amount == 0 then
    return
  end
  local doc = account.doc
  local number = doc[A_ENTRY_NUMBER] + 1
  local n = #entries + 1
  entries[n] = {
    kind, account.id, number, at, amount, doc[A_AVAILABLE], allocations, 0, settlement,
    digest, record[R_RESERVED], record[R_UNCOLLECTED], record[R_LATE], record[R_CREATE], record[R_EXPIRE],
    record[R_PRICE_VERSION], record[R_CONTENT], record[R_DETAILS], 0, 0, 0,
  }
  if record[R_WINDOWS] or account.carried then
    add_extras(account, entries[n], record, counted)
  end
  doc[A_ENTRY_NUMBER] = number
  doc[A_LAST_SEQ] = base_seq + n
  record[R_ENTRY_NUMBER] = number
  record[R_SEQ] = base_seq + n
end
