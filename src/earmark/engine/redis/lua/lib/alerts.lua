-- Alerts: what a transition (one operation, or one due event) crossed, on the last record that it appended.

-- The thresholds in force of an account: below 0 for none.
local function thresholds(doc)
  local low, critical = doc[A_LOW_BALANCE] or ABSENT, doc[A_CRITICAL_BALANCE] or ABSENT
  if low == ABSENT then
    low = low_default
  end
  if critical == ABSENT then
    critical = critical_default
  end
  return low, critical
end

local function watched_total(account)
  local doc = account.doc
  return doc[A_AVAILABLE] + doc[A_RESERVED], #entries
end

-- `before` and `appended` are what `watched_total` said when the transition began; nil where nobody asked for alerts of
-- the balance.
local function raise_alerts(account, before, appended)
  local doc, alerts, n = account.doc, {}, #entries
  local after = doc[A_AVAILABLE] + doc[A_RESERVED]
  if before and n > appended then
    local low, critical = thresholds(doc)
    if low >= 0 and before > low and low >= after then
      alerts[1] = { LOW_BALANCE, low, '', 0, after }
    end
    if critical >= 0 and before > critical and critical >= after then
      alerts[#alerts + 1] = { CRITICAL_BALANCE, critical, '', 0, after }
    end
  end
  local reached = account.reached
  if reached then
    account.reached = nil
    for i = 1, #reached do
      local alert = reached[i]
      alert[5] = after
      alerts[#alerts + 1] = alert
    end
  end
  if #alerts > 0 then
    entries[n][E_ALERTS] = alerts
  end
end

-- Runs one due event of an account as a transition of its own.
local function settle_event(account, event, ...)
  local before, appended = watched_total(account)
  event(account, ...)
  raise_alerts(account, before, appended)
end
