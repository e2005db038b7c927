"""What the machines choose from: mixes of intents, each for one kind of trouble."""

from __future__ import annotations

from hypothesis import strategies as st

from earmark.credits import MAX_MICROS
from earmark.domain.states import Enforcement, GrantKind, OveragePolicy
from earmark.engine.operations import ABSENT, NEVER
from tests.property.intents import (
    DAY,
    HOUR,
    LIMITS,
    MILLISECOND,
    MINUTE,
    REQUESTS,
    SECOND,
    USERS,
    Claim,
    Rules,
    TryAgain,
    TryCancel,
    TryCharge,
    TryCommit,
    TryConfigure,
    TryEvict,
    TryExtend,
    TryFlush,
    TryForeign,
    TryGrant,
    TryLease,
    TryLoad,
    TryRead,
    TryRebuild,
    TryRelease,
    TryRenew,
    TryReserve,
    TryRestore,
    TryRetire,
    TryVoid,
)

accounts = st.sampled_from((0, 0, 0, 0, 1, 2, 3))
one_account = st.just(0)
requests = st.one_of(st.integers(0, REQUESTS - 1), st.integers(REQUESTS, 500))
# Some by number, most among the records that are there, and of those the open ones twice as often.
near = st.integers(REQUESTS, REQUESTS + 3)
open_ones = st.integers(REQUESTS, REQUESTS + 1)
fresh = st.integers(REQUESTS, 5000)
targets = st.one_of(st.integers(0, REQUESTS - 1), near, near, st.integers(REQUESTS, 3 * REQUESTS))
small = st.integers(0, 120)
amounts = st.one_of(small, small, small, st.sampled_from((0, 1, 300, 2**31, MAX_MICROS - 1, MAX_MICROS)))
minimums = st.one_of(st.none(), st.integers(0, 60))
no_wait = st.just(0)
waits = st.sampled_from((0, 0, 0, 2 * SECOND, 20 * SECOND))
owners = st.sampled_from(("o1", "o2"))
nobody = st.just("")
users = st.sampled_from(USERS)
ttls = st.sampled_from((SECOND, 5 * SECOND, MINUTE, HOUR, 24 * HOUR))
longer = st.sampled_from((0, 5 * SECOND, HOUR, 24 * HOUR))
policies = st.sampled_from(OveragePolicy)
lives = st.sampled_from((None, None, -SECOND, 0, 2 * SECOND, MINUTE, 8 * 24 * HOUR))
no = st.sampled_from((False,))
rarely = st.sampled_from((False,) * 7 + (True,))
often = st.sampled_from((True, True, False))
in_order = st.just(0)
skews = st.sampled_from((0, 0, 0, 0, 0, -1, 1))
members = st.lists(st.sampled_from(USERS[1:]), max_size=2, unique=True).map(tuple)
kinds = st.sampled_from(GrantKind)
actuals = st.one_of(st.just(ABSENT), st.just(ABSENT), amounts)
claims = st.builds(
    Claim,
    st.integers(0, len(LIMITS) - 1),
    st.sampled_from((0, 1, 30, 60, 100, 200, 500, MAX_MICROS)),
    st.sampled_from((50, 80, 100)),
    st.sampled_from((True, True, False)),
    st.sampled_from((0,) * 18 + (-1, -1, -1, 1)),
)
several_claims = st.lists(claims, min_size=1, max_size=3, unique_by=lambda claim: claim.limit).map(tuple)
rules = st.builds(
    Rules,
    st.one_of(several_claims, several_claims, st.just(())),
    entitled=st.sampled_from((True,) * 19 + (False,)),
    silent=st.booleans(),
    moved=st.sampled_from((0,) * 19 + (1,)),
)
thresholds = st.sampled_from((ABSENT, ABSENT, NEVER, 0, 30, 100, 250))
reads = st.builds(TryRead, accounts, st.one_of(st.none(), requests))

spending = st.one_of(
    st.builds(TryReserve, accounts, requests, amounts, minimums, ttls, users, waits, owners, rarely),
    st.builds(TryReserve, accounts, requests, small, st.none(), ttls, nobody, no_wait, owners, no),
    st.builds(TryCharge, accounts, requests, amounts, minimums, policies, users, waits, owners, rarely),
    st.builds(TryReserve, accounts, requests, amounts, minimums, ttls, users, waits, owners, rarely, rules),
    st.builds(TryCharge, accounts, requests, amounts, minimums, policies, users, waits, owners, rarely, rules),
    st.builds(TryCommit, accounts, targets, actuals, policies),
    st.builds(TryCommit, accounts, targets, st.one_of(st.just(ABSENT), small), policies),
    st.builds(TryRelease, accounts, targets, rarely),
    st.builds(TryExtend, accounts, targets, st.integers(0, 2), longer, st.one_of(st.just(0), small), waits, owners),
    st.builds(TryCancel, accounts, requests, owners),
    st.builds(TryAgain, st.integers(0, 5), owners),
    st.builds(TryForeign, accounts, accounts, near, st.booleans()),
    reads,
)
grants = st.builds(
    TryGrant,
    accounts,
    st.one_of(small, small, small, amounts),
    kinds,
    st.sampled_from((100, 100, 50)),
    lives,
    st.sampled_from((256, 256, 3)),
    skews,
)
voids = st.builds(TryVoid, accounts, st.integers(1, 4), skews)
configurations = st.builds(
    TryConfigure,
    accounts,
    rarely,
    st.sampled_from((Enforcement.BLOCK, Enforcement.BLOCK, Enforcement.OBSERVE)),
    st.sampled_from((0, 40, 1000, 1000)),
    st.one_of(st.just(()), st.just(()), members),
    members,
    skews,
    thresholds,
    thresholds,
    st.booleans(),
)
caps = st.sampled_from((ABSENT, 0, 5, 40, 40, 100, 300))
counted_kinds = st.sampled_from(
    ((GrantKind.SUBSCRIPTION,), (GrantKind.SUBSCRIPTION,), (GrantKind.FREE, GrantKind.SUBSCRIPTION), tuple(GrantKind))
)
any_renewals = st.builds(
    TryRenew,
    accounts,
    st.one_of(small, small, small, amounts),
    st.sampled_from((GrantKind.SUBSCRIPTION, GrantKind.SUBSCRIPTION, GrantKind.FREE)),
    lives,
    st.sampled_from((256, 256, 3)),
    caps,
    counted_kinds,
    skews,
    st.booleans(),
)
administration = st.one_of(grants, voids, configurations, any_renewals)
residence = st.one_of(
    st.builds(TryLoad, accounts, rarely),
    st.builds(TryLoad, accounts, no),
    st.builds(TryRestore, accounts, targets, rarely),
    st.builds(TryEvict, accounts, often, st.sampled_from((0, 0, 0, 1))),
    st.builds(TryFlush, st.sampled_from((0, 0, 0, 2))),
    st.builds(TryRetire, st.sampled_from((0, 1, 100))),
    st.builds(TryLease, st.sampled_from(("flush", "sweep")), owners, st.sampled_from((0, SECOND, MINUTE))),
)
everything = st.one_of(spending, spending, spending, administration, residence)
pauses = st.sampled_from(
    (0, 0, 0, 0, 1, MILLISECOND, MILLISECOND, SECOND, 2 * SECOND, 6 * SECOND, MINUTE, MINUTE, HOUR, 25 * HOUR)
)

# Few credits and many who want them.
queueing_waits = st.sampled_from((0, 3 * SECOND, 20 * SECOND, 20 * SECOND))
queueing = st.one_of(
    st.builds(TryReserve, one_account, requests, small, minimums, ttls, nobody, queueing_waits, owners, rarely),
    st.builds(TryReserve, one_account, requests, st.just(40), st.none(), ttls, nobody, queueing_waits, owners, no),
    st.builds(TryCharge, one_account, requests, st.just(50), minimums, policies, nobody, queueing_waits, owners, no),
    st.builds(TryExtend, one_account, targets, st.integers(0, 2), longer, small, queueing_waits, owners),
    st.builds(TryAgain, st.integers(0, 5), owners),
    st.builds(TryAgain, st.integers(0, 5), owners),
    st.builds(TryCommit, one_account, targets, st.just(ABSENT), policies),
    st.builds(TryRelease, one_account, targets, no),
    st.builds(TryCancel, one_account, requests, owners),
    st.builds(TryGrant, one_account, st.just(30), kinds, st.just(100), st.none(), st.just(256), in_order),
    st.builds(
        TryConfigure,
        one_account,
        rarely,
        st.just(Enforcement.BLOCK),
        st.sampled_from((0, 20)),
        *[st.just(())] * 2,
        in_order,
    ),
    st.builds(TryEvict, one_account, often, in_order),
    st.builds(TryFlush, in_order),
    st.builds(TryLoad, one_account, no),
)
short_pauses = st.sampled_from((0, 0, MILLISECOND, SECOND, SECOND, 2 * SECOND, 4 * SECOND, 6 * SECOND))

# More grants than a document keeps in its head.
hoarding = st.one_of(
    st.builds(TryGrant, one_account, st.integers(1, 9), kinds, st.integers(1, 9), lives, st.just(256), in_order),
    st.builds(TryGrant, one_account, st.integers(1, 9), kinds, st.just(5), st.none(), st.just(256), in_order),
    st.builds(TryVoid, one_account, st.integers(1, 40), in_order),
    st.builds(TryReserve, one_account, requests, st.integers(0, 60), minimums, ttls, nobody, no_wait, owners, rarely),
    st.builds(
        TryCharge, one_account, requests, st.integers(0, 30), minimums, policies, nobody, no_wait, owners, rarely
    ),
    st.builds(TryCommit, one_account, targets, st.integers(-1, 60), policies),
    st.builds(TryRelease, one_account, targets, no),
    st.builds(TryExtend, one_account, targets, st.integers(0, 2), longer, st.integers(0, 20), no_wait, owners),
    st.builds(TryRead, one_account, st.none()),
    st.builds(TryEvict, one_account, often, in_order),
    st.builds(TryFlush, in_order),
    st.builds(TryLoad, one_account, no),
)
hoard = st.lists(
    st.builds(TryGrant, one_account, st.integers(1, 9), kinds, st.integers(1, 9), lives, st.just(256), in_order),
    min_size=4,
    max_size=12,
)

hoard_lives = st.sampled_from((None, 2 * SECOND, MINUTE, MINUTE, HOUR))
outlived = st.one_of(
    st.builds(TryGrant, one_account, st.integers(5, 50), kinds, st.just(1), hoard_lives, st.just(256), in_order),
    st.builds(
        TryReserve, one_account, requests, st.integers(0, 60), minimums, st.just(HOUR), nobody, no_wait, owners, no
    ),
    st.builds(TryCommit, one_account, targets, st.integers(-1, 60), policies),
    st.builds(TryRelease, one_account, targets, no),
    st.builds(TryVoid, one_account, st.integers(1, 6), in_order),
)
minutes = st.sampled_from((0, 0, SECOND, 2 * SECOND, MINUTE, MINUTE, 10 * MINUTE))

# Accounts in debt, and accounts that only observe.
overdrafts = st.sampled_from((40, 500, 500))
soon = st.sampled_from((0, 0, 0, SECOND, 10 * SECOND, MINUTE, HOUR))
owing = st.one_of(
    st.builds(TryReserve, one_account, requests, small, minimums, ttls, nobody, no_wait, owners, rarely),
    st.builds(TryReserve, one_account, requests, st.just(30), minimums, st.just(HOUR), nobody, no_wait, owners, no),
    st.builds(
        TryCharge,
        one_account,
        requests,
        st.integers(0, 900),
        minimums,
        st.just(OveragePolicy.ALLOW_WITH_OVERDRAFT),
        nobody,
        no_wait,
        owners,
        rarely,
    ),
    st.builds(TryCommit, one_account, targets, st.integers(-1, 400), policies),
    st.builds(TryCommit, one_account, targets, st.integers(-1, 900), st.just(OveragePolicy.ALLOW_WITH_OVERDRAFT)),
    st.builds(TryRelease, one_account, targets, no),
    st.builds(TryExtend, one_account, targets, st.integers(0, 2), longer, small, no_wait, owners),
    st.builds(TryGrant, one_account, small, kinds, st.just(100), lives, st.just(256), in_order),
    st.builds(TryVoid, one_account, st.integers(1, 4), in_order),
    st.builds(
        TryConfigure,
        one_account,
        no,
        st.sampled_from((Enforcement.BLOCK, Enforcement.BLOCK, Enforcement.OBSERVE)),
        overdrafts,
        st.just(()),
        st.just(()),
        in_order,
    ),
    st.builds(TryEvict, one_account, often, in_order),
    st.builds(TryFlush, in_order),
    st.builds(TryLoad, one_account, no),
    st.builds(TryRetire, st.just(100)),
    st.builds(TryRestore, one_account, targets, no),
)

rebuilds = st.builds(TryRebuild, one_account)

# How long an account stays away, and what a late commit then finds.
absences = st.sampled_from((0, SECOND, MINUTE, HOUR, 25 * HOUR))
returning = st.lists(
    st.one_of(
        st.builds(TryRetire, st.just(100)),
        st.builds(TryRestore, one_account, targets, no),
        st.builds(TryCommit, one_account, targets, st.integers(-1, 200), policies),
    ),
    max_size=4,
)

# Limits, thresholds, and the configuration that they come from.
limit_lives = st.sampled_from((SECOND, 5 * SECOND, HOUR, HOUR, 24 * HOUR))
limited = st.one_of(
    *[
        st.builds(TryReserve, one_account, fresh, size, minimum, limit_lives, nobody, wait, owners, rarely, rules)
        for size, minimum, wait in (
            (small, minimums, no_wait),
            (small, minimums, no_wait),
            (small, st.none(), queueing_waits),
            (amounts, minimums, no_wait),
        )
    ],
    *[
        st.builds(TryCharge, one_account, fresh, size, minimums, policies, nobody, no_wait, owners, rarely, rules)
        for size in (small, small, amounts)
    ],
    st.builds(TryReserve, one_account, requests, small, minimums, limit_lives, nobody, no_wait, owners, no, rules),
    st.builds(TryCommit, one_account, open_ones, st.just(ABSENT), policies),
    st.builds(TryCommit, one_account, open_ones, st.one_of(small, amounts), policies),
    st.builds(TryCommit, one_account, targets, st.one_of(small, amounts), policies),
    st.builds(TryRelease, one_account, open_ones, no),
    st.builds(TryExtend, one_account, open_ones, st.integers(0, 2), longer, st.one_of(small, amounts), no_wait, owners),
    st.builds(
        TryExtend, one_account, open_ones, st.integers(0, 9), longer, st.integers(20, 200), queueing_waits, owners
    ),
    st.builds(TryExtend, one_account, targets, st.integers(0, 2), longer, small, no_wait, owners),
    st.builds(TryAgain, st.integers(0, 5), owners),
    st.builds(TryGrant, one_account, small, kinds, st.just(100), lives, st.just(256), in_order),
    st.builds(
        TryConfigure,
        one_account,
        no,
        st.sampled_from((Enforcement.BLOCK, Enforcement.BLOCK, Enforcement.BLOCK, Enforcement.OBSERVE)),
        overdrafts,
        st.just(()),
        st.just(()),
        in_order,
        thresholds,
        thresholds,
        st.booleans(),
    ),
)
across_windows = st.sampled_from((0,) * 8 + (MILLISECOND, SECOND, 5 * SECOND, 10 * SECOND, MINUTE, HOUR, DAY))

# A subscription's life: credits each cycle, packs in between, generations at any time.
renewals = st.builds(
    TryRenew,
    one_account,
    st.sampled_from((0, 20, 50, 50, 100)),
    st.just(GrantKind.SUBSCRIPTION),
    st.sampled_from((None, None, None, MINUTE, HOUR)),
    st.just(1024),
    caps,
    counted_kinds,
    st.sampled_from((0,) * 8 + (-1, 1)),
    rarely,
)
living = st.one_of(
    renewals,
    st.builds(TryGrant, one_account, small, kinds, st.sampled_from((50, 100)), hoard_lives, st.just(1024), in_order),
    st.builds(TryGrant, one_account, small, st.just(GrantKind.PURCHASE), st.just(100), st.none(), st.just(9), in_order),
    st.builds(TryReserve, one_account, fresh, small, minimums, ttls, nobody, no_wait, owners, no),
    st.builds(TryReserve, one_account, fresh, small, st.just(0), st.just(HOUR), nobody, no_wait, owners, no),
    st.builds(TryReserve, one_account, requests, small, minimums, ttls, nobody, waits, owners, no, rules),
    st.builds(TryCharge, one_account, fresh, small, minimums, policies, nobody, no_wait, owners, no, rules),
    st.builds(TryCommit, one_account, open_ones, st.integers(-1, 60), policies),
    st.builds(TryCommit, one_account, targets, st.integers(-1, 200), st.just(OveragePolicy.ALLOW_WITH_OVERDRAFT)),
    st.builds(TryRelease, one_account, open_ones, no),
    st.builds(TryRelease, one_account, open_ones, no),
    st.builds(TryExtend, one_account, open_ones, st.integers(0, 2), longer, small, no_wait, owners),
    st.builds(TryVoid, one_account, st.integers(1, 6), in_order),
)
