-- Positions and constants of the packed formats. A record is an array; fields are appended, never moved.
-- Absent amounts are -1, absent times 0: a nil would leave a hole in an array.
-- The numbers of this file are put into the text of the library when the package is loaded (scripts.py): Lua 5.1 has
-- room for 200 locals and 60 upvalues, and a constant is faster than either.

local FORMAT = 1
local MAX_MICROS = 9007199254740991 -- 2^53 - 1
local MAX_ELEMENTS = 99 -- of a packed record
local DUE_LIMIT = 256 -- due events that one call settles
local MAX_EXTENSIONS = 64
local MAX_LIFETIME = 86400000000 -- 24 h
local TICKET_TTL = 5000000 -- a ticket lapses when it is not sent again for 5 s
local ABSENT = -1 -- of a threshold: the catalog's; one that never fires is below that

-- Keys of the partition that a call is about; all of them are declared in every call.
local ACCOUNTS, RESERVATIONS, DEADLINES, STREAM, META, WAITERS, TICKETS, COUNTERS
-- Pub/sub channel of the partition: wakes waiters and watchers.
local CHANNEL

-- DEADLINES is one sorted set with two eras. Scores below RETIRE_ERA are moments at which a hold ends, a grant expires
-- or the window of a counter ends (microseconds); above it, RETIRE_ERA + the moment at which an ended record may go.
-- Settling a hold moves its member from the first era to the second: one command.
local RETIRE_ERA = 4503599627370496 -- 2^52
-- At one instant holds come before grants, these before counters, then by id: that is the order of the members' bytes.
local HOLD_MEMBER, GRANT_MEMBER, COUNTER_MEMBER = '1', '2', '3'

-- An account document.
local A_VERSION, A_ENTRY_NUMBER, A_AVAILABLE, A_RESERVED, A_DEBT, A_CHARGED, A_GRANTED = 2, 3, 4, 5, 6, 7, 8
local A_EXPIRED, A_VOIDED, A_OVERDRAFT, A_SUSPENDED, A_ENFORCEMENT, A_ADMIN_SEQ, A_MEMBERS = 9, 10, 11, 12, 13, 14, 15
local A_WAITERS, A_WATCHED_UNTIL, A_LAST_SEQ, A_OPEN, A_TOUCHED, A_GRANTS = 16, 17, 18, 19, 20, 21
local A_TAIL_COUNT, A_TAIL_NEXT_EXPIRE, A_TAIL_SOON, A_TAIL_SOON_UNTIL, A_NEXT_TICKET = 22, 23, 24, 25, 26
local A_GENERATION = 27 -- members and counters with another one were left behind: they mean nothing
-- These six are there together or, where all say nothing, not at all: 0, ABSENT, ABSENT, 0, 0, 0.
local A_CONFIG_SEQ, A_LOW_BALANCE, A_CRITICAL_BALANCE, A_CYCLE_SEQ, A_CARRY_ROOM, A_CARRY_KINDS = 28, 29, 30, 31, 32, 33

-- A grant inside a document: GRANT_STRIDE numbers in one flat array, in burn-down order.
local GRANT_STRIDE = 8
local G_NUMBER, G_KIND, G_PRIORITY, G_EXPIRE, G_ACQUIRE, G_REMAINING, G_HELD, G_VOIDED = 0, 1, 2, 3, 4, 5, 6, 7
local HEAD_GRANTS, HEAD_SPENDABLE = 16, 4 -- what stays in the document when the rest moves to the tail
local KIND_RANK = { 1, 3, 5, 2, 4 } -- FREE, PROMOTION, SUBSCRIPTION, ADJUSTMENT, PURCHASE, by the kinds' numbers

-- A reservation record.
local R_STATE, R_ACCOUNT, R_CONTENT, R_RESERVED, R_CHARGED, R_UNCOLLECTED, R_LATE = 2, 3, 4, 5, 6, 7, 8
local R_CREATE, R_EXPIRE, R_SETTLE, R_PRICE_VERSION, R_ALLOCATIONS, R_DETAILS = 9, 10, 11, 12, 13, 14
local R_ENTRY_NUMBER, R_SEQ, R_EXTENSIONS, R_UNFUNDED = 15, 16, 17, 18 -- R_UNFUNDED: what an observed hold lacked
-- Key, start and end of each limit window that it counts in; 1 if it leaves no entry. Left out where they say nothing.
local R_WINDOWS, R_SILENT = 19, 20
-- A_CYCLE_SEQ when it last took, and what it took since of credits that were carried over. Left out as the two before.
local R_CYCLE, R_KEPT = 21, 22
local ACTIVE, COMMITTED, RELEASED, EXPIRED = 1, 2, 3, 4

-- What was used of a limit in one window (reserved and charged, and charged alone); how many ACTIVE records count in it;
-- what the last claim that was counted said of the limit: 0 when it came from SQL.
local C_GENERATION, C_USED, C_CHARGED, C_REFS, C_END, C_AMOUNT, C_NEAR, C_BLOCKS = 2, 3, 4, 5, 6, 7, 8, 9
-- A limit that applies to a call: the last are the windows that may hold now, start and end of each.
local L_KEY, L_AMOUNT, L_NEAR, L_BLOCKS, L_WINDOWS = 1, 2, 3, 4, 5

-- Enforcement and overage policies.
local OBSERVE = 2
local REJECT, ALLOW_WITH_OVERDRAFT = 1, 3

-- Kinds of stream records.
local K_GRANT, K_CHARGE, K_RELEASE, K_EXPIRED_HOLD, K_GRANT_EXPIRED, K_GRANT_VOIDED, K_DEBT_REPAID =
  1, 2, 3, 4, 5, 6, 7
local K_CONFIGURED, K_ADMIN_REFUSED = 20, 21
-- The last fields of a stream record, left out where they say nothing.
local E_ALERTS, E_WINDOWS, E_CARRY_ROOM = 22, 23, 24
local LOW_BALANCE, CRITICAL_BALANCE, LIMIT_NEAR = 1, 2, 4 -- what alerts and notices warn of

-- Results.
local DONE, REFUSED, AGAIN, ACCOUNT_MISSING, RESERVATION_MISSING, WAITING, BALANCE_READ = 0, 1, 2, 3, 4, 5, 6
local RESERVATION_READ, APPLIED, HOLDS_READ, LEASE_RENEWED, SWEPT, BUG, CONFIGURATION_MOVED = 7, 8, 9, 10, 11, 12, 13

-- Refusals.
local REQUEST_ID_REUSED, ACCOUNT_SUSPENDED, NOT_A_MEMBER, INSUFFICIENT_CREDITS, ALREADY_COMMITTED = 1, 2, 3, 4, 5
local ALREADY_RELEASED, RESERVATION_EXPIRED, OVERAGE_REJECTED, INVALID_AMOUNT, TOO_MANY_GRANTS = 6, 7, 8, 9, 10
local GRANT_NOT_FOUND, TOO_MANY_EXTENSIONS, STALE, NOT_ENTITLED, LIMIT_EXCEEDED = 11, 12, 13, 14, 15
