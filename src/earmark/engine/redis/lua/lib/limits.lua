-- Counters of limits: what was reserved and charged of a limit in one window.
-- A record keeps the windows in which it was made (key, start, end of each) and counts in them to its end: while it is
-- ACTIVE what it holds, afterwards what was charged. A counter goes when its window has ended and no ACTIVE record
-- counts in it.

local function counter_field(account, key, start)
  local padded = starts[start]
  if not padded then
    padded = format('\0%016.0f', start)
    starts[start] = padded
  end
  return account.id .. '\0' .. key .. padded
end

local function counter_at(account, field)
  local counter = counters[field]
  if counter == nil then
    local packed = call('HGET', COUNTERS, field)
    counter = packed and unpack_one(packed) or false
    counters[field] = counter
  end
  if counter and counter[C_GENERATION] == account.doc[A_GENERATION] then
    return counter
  end
  return nil
end

local function put_counter(account, field, counter)
  counters[field] = counter
  dirty_counters[field] = account.id
end

local function new_counter(account, field, ending)
  if ending > now and ending < RETIRE_ERA then -- a window for ever has no end that is due
    set_deadline(COUNTER_MEMBER .. field, ending)
  end
  return { FORMAT, account.doc[A_GENERATION], 0, 0, 0, ending, 0, 0, 0 }
end

local function drop_counter(account, field)
  put_counter(account, field, false)
  set_deadline(COUNTER_MEMBER .. field, false)
end

-- The windows of some claims that hold now, as a record keeps them, or the answer that the call must be derived anew:
-- from another configuration, or for another time.
local function open_windows(account, config_seq, claims)
  local configured = account.doc[A_CONFIG_SEQ] or 0
  if config_seq ~= configured then
    return nil, { CONFIGURATION_MOVED, now, configured }
  end
  local windows, n = {}, 0
  for i = 1, #claims do
    local candidates, chosen = claims[i][L_WINDOWS], nil
    for j = 1, #candidates, 2 do
      if candidates[j] <= now and now < candidates[j + 1] then
        chosen = j
        break
      end
    end
    if not chosen then
      return nil, { CONFIGURATION_MOVED, now, configured }
    end
    windows[n + 1], windows[n + 2], windows[n + 3] = claims[i][L_KEY], candidates[chosen], candidates[chosen + 1]
    n = n + 3
  end
  return n > 0 and windows or nil, nil
end

-- What the blocking limits leave of an amount, or the refusal of the first that leaves less than the minimum.
local function within_limits(account, claims, windows, amount, minimum)
  for i = 1, #claims do
    local claim = claims[i]
    if claim[L_BLOCKS] then
      local at = 3 * i - 2
      local counter = counter_at(account, counter_field(account, windows[at], windows[at + 1]))
      local used = counter and counter[C_USED] or 0
      local room = math.max(0, claim[L_AMOUNT] - used)
      if room < minimum then
        return nil, { REFUSED, LIMIT_EXCEEDED, { claim[L_AMOUNT], used, minimum, windows[at + 2] }, claim[L_KEY] }
      end
      amount = min(amount, room)
    end
  end
  return amount, nil
end

-- The refusal of an addition by a limit that blocks, or nil.
local function addition_refused(account, windows, additional)
  for i = 1, #windows, 3 do
    local counter = counter_at(account, counter_field(account, windows[i], windows[i + 1]))
    if counter and counter[C_BLOCKS] == 1 and math.max(0, counter[C_AMOUNT] - counter[C_USED]) < additional then
      local numbers = { counter[C_AMOUNT], counter[C_USED], additional, windows[i + 2] }
      return { REFUSED, LIMIT_EXCEEDED, numbers, windows[i] }
    end
  end
  return nil
end

-- Whether counting so much more would pass what a counter can hold.
local function counters_full(account, windows, more)
  for i = 1, #windows, 3 do
    local counter = counter_at(account, counter_field(account, windows[i], windows[i + 1]))
    if counter and counter[C_USED] + more > MAX_MICROS then
      return true
    end
  end
  return false
end

-- Counts a charge, and notes what of the limit it reached: the alerts are made when the transition is over.
local function count_charge(account, key, counter, counted)
  local before = counter[C_CHARGED]
  local after, amount, near = before + counted, counter[C_AMOUNT], counter[C_NEAR]
  counter[C_CHARGED] = after
  local reached = account.reached
  if near > 0 and before < near and near <= after then
    reached = reached or {}
    reached[#reached + 1] = { LIMIT_NEAR, near, key, amount }
  end
  if near < amount and before < amount and amount <= after then
    reached = reached or {}
    reached[#reached + 1] = { LIMIT_NEAR, amount, key, amount }
  end
  account.reached = reached
end

-- Counts a new record in its windows: held (`charging` false) or charged at once.
local function count_new(account, claims, windows, counted, charging)
  for i = 1, #claims do
    local claim, at = claims[i], 3 * i - 2
    local field = counter_field(account, windows[at], windows[at + 1])
    local counter = counter_at(account, field) or new_counter(account, field, windows[at + 2])
    counter[C_USED] = counter[C_USED] + counted
    counter[C_AMOUNT], counter[C_NEAR], counter[C_BLOCKS] = claim[L_AMOUNT], claim[L_NEAR], claim[L_BLOCKS] and 1 or 0
    if charging then
      count_charge(account, windows[at], counter, counted)
    else
      counter[C_REFS] = counter[C_REFS] + 1
    end
    put_counter(account, field, counter)
  end
end

local function count_addition(account, windows, additional)
  for i = 1, #windows, 3 do
    local field = counter_field(account, windows[i], windows[i + 1])
    local counter = counter_at(account, field)
    if counter then
      counter[C_USED] = counter[C_USED] + additional
      put_counter(account, field, counter)
    end
  end
end

-- An ACTIVE record that counted `before` ends with a charge of `counted`, or 0.
local function count_ending(account, windows, before, counted)
  for i = 1, #windows, 3 do
    local field = counter_field(account, windows[i], windows[i + 1])
    local counter = counter_at(account, field)
    if counter then
      counter[C_USED] = counter[C_USED] + (counted - before) -- in this order it never passes what is exact
      counter[C_REFS] = counter[C_REFS] - 1
      count_charge(account, windows[i], counter, counted)
      if counter[C_REFS] == 0 and counter[C_END] <= now then
        drop_counter(account, field)
      else
        put_counter(account, field, counter)
      end
    end
  end
end

-- A late commit counts where the reservation was made, as long as anybody asks.
local function count_late(account, windows, counted)
  for i = 1, #windows, 3 do
    local field = counter_field(account, windows[i], windows[i + 1])
    local counter = counter_at(account, field)
    if not counter and now < windows[i + 2] then
      counter = new_counter(account, field, windows[i + 2])
    end
    if counter then
      counter[C_USED] = counter[C_USED] + counted
      count_charge(account, windows[i], counter, counted)
      put_counter(account, field, counter)
    end
  end
end

-- A hold that a rebuilt account keeps counts again.
local function count_kept(account, windows, counted)
  for i = 1, #windows, 3 do
    local field = counter_field(account, windows[i], windows[i + 1])
    local counter = counter_at(account, field) or new_counter(account, field, windows[i + 2])
    counter[C_USED] = counter[C_USED] + counted
    counter[C_REFS] = counter[C_REFS] + 1
    put_counter(account, field, counter)
  end
end

-- SQL's counters of windows that have not ended.
local function load_counters(account, listed)
  for i = 1, #listed do
    local key, start, ending, used = unpack(listed[i])
    if ending > now then
      local field = counter_field(account, key, start)
      local counter = new_counter(account, field, ending)
      counter[C_USED], counter[C_CHARGED] = used, used
      put_counter(account, field, counter)
    end
  end
end

-- The end of a counter's window.
local function end_counter(account, field)
  local counter = counter_at(account, field)
  if counter and counter[C_REFS] > 0 then -- it goes with the last record that counts in it
    set_deadline(COUNTER_MEMBER .. field, false)
  else
    drop_counter(account, field)
  end
end
