"""Requests of the hot path to operations: every bound of the contract, the first error named. Runs for each call."""

from __future__ import annotations

import secrets

import msgspec

from earmark.credits import MAX_MICROS
from earmark.domain.ids import (
    ContentDigest,
    ReservationDigest,
    content_digest,
    extension_digest,
    parse_reservation_id,
    reservation_digest,
)
from earmark.domain.states import OveragePolicy
from earmark.engine.operations import (
    ABSENT,
    TOMBSTONE_WANTED,
    Charge,
    Commit,
    Details,
    Extend,
    Release,
    Reserve,
    Settlement,
)
from earmark.errors import EarmarkError, Reason, error
from earmark.server import checks
from earmark.server.claims import AccountClaims
from earmark.server.deferred import ReservationWanted, Unpriced
from earmark.server.pricing import Measure, Price, Pricing
from earmark.server.recent import Recent
from earmark.v1 import common_pb2 as common
from earmark.v1 import metering_service_pb2 as pb

__all__ = ["Requests"]

_encode_content = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
_NO_SETTLEMENT = "{}"
_POLICIES: dict[int, str] = {number: text for text, number in common.OveragePolicy.items()}
_MAX_REMEMBERED = 32_768
_NO_PRICE = Price(0, 0, 0)


_UNKNOWN_PRICE = -1
"""Of a reservation that was given out elsewhere, or too long ago."""
_RELEASED = -2
"""Of a reservation that was released: nothing settles or extends it any more, whatever it would cost."""


class Requests:
    """Turns requests into operations. One for a server; keeps a bounded memory of reservations that it gave out.

    A call that takes more than a look into memory raises a `Deferred`, which says what it takes.
    """

    def __init__(self, pricing: Pricing, claims: AccountClaims) -> None:
        self._pricing = pricing
        self._claims = claims
        self._known: Recent[str, tuple[str, ReservationDigest, int, str]] = Recent(_MAX_REMEMBERED)

    def remember(
        self, reservation_id: str, account_id: str, digest: str, version: int = _UNKNOWN_PRICE, details: str = ""
    ) -> None:
        """Note a reservation that was given out: its Commit follows within seconds.

        Args:
            reservation_id: Its public id.
            account_id: Who pays.
            digest: Its key.
            version: The catalog that priced it; 0 for none.
            details: Its `Details` as JSON, where a catalog priced it.
        """
        self._known.put(reservation_id, (account_id, ReservationDigest(digest), version, details if version else ""))

    def remember_released(self, reservation_id: str, account_id: str, digest: ReservationDigest) -> None:
        """Note that a reservation was released: what it was for may be nowhere."""
        self._known.put(reservation_id, (account_id, digest, _RELEASED, ""))

    def reservation(self, reservation_id: str, field: str = "reservation_id") -> tuple[str, ReservationDigest]:
        """Return account and digest of a reservation id.

        Raises:
            InvalidRequest: it is missing or longer than 256 characters.
            NotFound: RESERVATION_NOT_FOUND, for text that no server ever gave out.
        """
        known = self._known.get(reservation_id)
        if known is not None:
            return known[0], known[1]
        if not 0 < len(reservation_id) <= 256:
            raise checks.invalid(field, "is missing" if not reservation_id else "has more than 256 characters")
        account_id, digest = parse_reservation_id(reservation_id)
        if not account_id.isprintable() or len(account_id) > checks.MAX_ACCOUNT_ID:
            # Well encoded, but around an account id that no server accepts: it cannot exist.
            raise error(
                Reason.RESERVATION_NOT_FOUND,
                f"no reservation has the id {reservation_id[:64]!r}",
                {"reservation_id": reservation_id},
            )
        self.remember(reservation_id, account_id, digest)
        return account_id, digest

    def reserve(self, request: pb.ReserveRequest) -> Reserve:
        """Check a Reserve.

        Raises:
            InvalidRequest: its form is wrong.
            Unpriced: it has no price.
        """
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        ttl = checks.ttl(request.ttl) if request.HasField("ttl") else checks.DEFAULT_TTL
        wait = checks.wait(request.wait) if request.HasField("wait") else 0
        price, details, content, failure = self._priced("Reserve", request_id, request, 0)
        validate_only = request.validate_only or failure is not None
        if validate_only:
            wait = 0  # A call that stores nothing cannot stand in a queue.
        config_seq, entitled, limits = self._claims.of(
            account_id, request.operation, request.user_id, request.project_id, price.requires
        )
        operation = Reserve(
            account_id,
            reservation_digest(account_id, request_id),
            content,
            price.amount,
            price.min_amount,
            ttl,
            price.version,
            details,
            request.user_id,
            wait,
            secrets.token_urlsafe(9) if wait else "",
            validate_only,
            price.silent,
            entitled,
            config_seq,
            limits,
        )
        if failure is not None:
            raise Unpriced(operation, failure)
        return operation

    def charge(self, request: pb.ChargeRequest) -> Charge:
        """Check a Charge.

        Raises:
            InvalidRequest: its form is wrong.
            Unpriced: it has no price.
        """
        account_id = checks.account_id(request.account_id)
        request_id = checks.request_id(request.request_id)
        policy = _policy(request.overage_policy)
        comment = request.comment
        settlement = _settlement(comment=checks.prose(comment, "comment")) if comment else _NO_SETTLEMENT
        wait = checks.wait(request.wait) if request.HasField("wait") else 0
        price, details, content, failure = self._priced("Charge", request_id, request, policy)
        validate_only = request.validate_only or failure is not None
        if validate_only:
            wait = 0
        config_seq, entitled, limits = self._claims.of(
            account_id, request.operation, request.user_id, request.project_id, price.requires
        )
        operation = Charge(
            account_id,
            reservation_digest(account_id, request_id),
            content,
            price.amount,
            price.min_amount,
            policy,
            price.version,
            details,
            settlement,
            request.user_id,
            wait,
            secrets.token_urlsafe(9) if wait else "",
            validate_only,
            price.silent,
            entitled,
            config_seq,
            limits,
        )
        if failure is not None:
            raise Unpriced(operation, failure)
        return operation

    def commit(self, request: pb.CommitRequest) -> Commit:
        """Check a Commit.

        Raises:
            InvalidRequest: its form is wrong, or it cannot be priced.
            ReservationWanted: how its reservation was priced is not known here.
            CatalogWanted: the catalog that priced it is not in memory.
        """
        account_id, digest = self.reservation(request.reservation_id)
        quantity: int | None = None
        usage: dict[str, int] | None = None
        attributes: dict[str, str] = {}
        actual = ABSENT
        which = request.WhichOneof("actual")
        if which == "amount_micros":
            actual = checks.amount(request.amount_micros, "amount_micros")
        elif which == "quantity":
            quantity = checks.count(request.quantity, "quantity")
        elif which == "usage":
            usage = checks.usage_counts(request.usage.counts, "usage.counts")
        if request.attributes:
            attributes = checks.attributes(request.attributes, "attributes")
        policy = _policy(request.overage_policy)
        comment = request.comment
        if comment:
            checks.prose(comment, "comment")
        if which == "quantity" or which == "usage":
            version, details = self._reserved(request.reservation_id, account_id, digest)
            if version != _RELEASED:
                actual = self._pricing.actual(version, details, quantity, usage, attributes, which)
        elif which is None and self._pricing.may_need_actual:
            version, details = self._reserved(request.reservation_id, account_id, digest)
            if version != _RELEASED:
                self._pricing.check_whole(version, details, attributes)
        if comment or attributes or which == "quantity" or which == "usage":
            settlement = _settlement(quantity, usage, attributes, comment)
        else:
            settlement = _NO_SETTLEMENT
        return Commit(account_id, digest, actual, policy, settlement)

    def release(self, request: pb.ReleaseRequest) -> Release:
        """Check a Release, by reservation or by the Reserve's account and request id."""
        tombstone = ABSENT
        if request.reservation_id:
            if request.account_id or request.request_id:
                raise checks.invalid(
                    "reservation_id", "give either reservation_id, or account_id and request_id, not both"
                )
            account_id, digest = self.reservation(request.reservation_id)
        elif not request.account_id and not request.request_id:
            raise checks.invalid("reservation_id", "is missing: give it, or account_id and request_id of the Reserve")
        else:
            account_id = checks.account_id(request.account_id)
            digest = reservation_digest(account_id, checks.request_id(request.request_id))
            tombstone = TOMBSTONE_WANTED
        reason = request.reason
        settlement = _settlement(comment=checks.prose(reason, "reason")) if reason else _NO_SETTLEMENT
        return Release(account_id, digest, settlement, tombstone)

    def extend(self, request: pb.ExtendRequest) -> Extend:
        """Check an Extend: more time, more credits, or both. Raises as `commit` does."""
        account_id, digest = self.reservation(request.reservation_id)
        request_id = checks.request_id(request.request_id)
        ttl = checks.ttl(request.ttl) if request.HasField("ttl") else 0
        wait = checks.wait(request.wait) if request.HasField("wait") else 0
        which = request.WhichOneof("additional")
        additional = 0
        measured: object = None
        if which == "additional_micros":
            additional = measured = checks.amount(request.additional_micros, which)
        elif which == "additional_quantity":
            quantity = measured = checks.count(request.additional_quantity, which)
            version, details = self._reserved(request.reservation_id, account_id, digest)
            if version != _RELEASED:
                additional = self._pricing.addition(version, details, quantity, None, which)
        elif which == "additional_usage":
            usage = measured = checks.usage_counts(request.additional_usage.counts, f"{which}.counts")
            version, details = self._reserved(request.reservation_id, account_id, digest)
            if version != _RELEASED:
                additional = self._pricing.addition(version, details, None, usage, which)
        elif not ttl:
            raise checks.invalid("ttl", "is missing: give ttl, an addition, or both")
        if not additional:
            wait = 0  # There is nothing to wait for.
        return Extend(
            account_id,
            digest,
            extension_digest(digest, request_id),
            content_digest(_encode_content(("Extend", which, measured))),
            ttl,
            additional,
            wait,
            secrets.token_urlsafe(9) if wait else "",
        )

    def _reserved(self, reservation_id: str, account_id: str, digest: ReservationDigest) -> tuple[int, str]:
        """Return how a reservation was priced: the catalog's version, 0 for an amount, and its details.

        Raises:
            ReservationWanted: it is not known here.
        """
        known = self._known.get(reservation_id)
        if known is None or known[2] == _UNKNOWN_PRICE:
            raise ReservationWanted(reservation_id, account_id, digest)
        return known[2], known[3]

    def _priced(
        self, rpc: str, request_id: str, request: pb.ReserveRequest | pb.ChargeRequest, policy: int
    ) -> tuple[Price, str, ContentDigest, EarmarkError | None]:
        """Check what Reserve and Charge share; return price, details, content digest, and why there is no price.

        That there is none is told only when the request is new: a repeat is answered whatever the catalog says today.
        """
        given: int | None = None
        quantity: int | None = None
        usage: dict[str, int] | None = None
        attributes: dict[str, str] = {}
        min_amount: int | None = None
        min_quantity: int | None = None
        labels: dict[str, str] = {}
        if request.HasField("amount_micros"):
            given = request.amount_micros
            if not 0 <= given <= MAX_MICROS:
                checks.amount(given, "amount_micros")
        operation = request.operation
        if operation:
            checks.name(operation, "operation")
        if request.HasField("quantity"):
            quantity = checks.count(request.quantity, "quantity")
        if request.HasField("usage"):
            usage = checks.usage_counts(request.usage.counts, "usage.counts")
        if request.attributes:
            attributes = checks.attributes(request.attributes, "attributes")
        if request.HasField("min_amount_micros"):
            min_amount = checks.amount(request.min_amount_micros, "min_amount_micros")
        if request.HasField("min_quantity"):
            min_quantity = checks.count(request.min_quantity, "min_quantity")
        user_id = request.user_id
        if user_id:
            checks.name(user_id, "user_id")
        project_id = request.project_id
        if project_id:
            checks.name(project_id, "project_id")
        if request.labels:
            labels = checks.labels(request.labels, "labels")
        failure: EarmarkError | None = None
        price = _NO_PRICE
        if given is not None:
            if quantity is not None or usage is not None or min_quantity is not None:
                raise _ambiguous(quantity, usage)
            least = given if min_amount is None else min_amount
            if least > given:
                raise error(
                    Reason.INVALID_AMOUNT,
                    f"min_amount_micros: {least} is more than amount_micros, {given}",
                    {"min_amount_micros": least, "amount_micros": given},
                    field="min_amount_micros",
                )
            try:
                price = self._pricing.given(given, least, operation, attributes)
            except EarmarkError as unpriced:
                failure = unpriced
        elif not operation:
            raise checks.invalid("amount_micros", "is missing: give amount_micros, or operation to price it by")
        elif quantity is not None and usage is not None:
            raise checks.invalid("usage", "give either quantity or usage, not both")
        else:
            measure = Measure(operation, quantity, usage, attributes, min_amount, min_quantity)
            try:
                price = self._pricing.price(measure, charging=rpc == "Charge")
            except EarmarkError as unpriced:
                failure = unpriced
        named = Details(request_id, operation, user_id, project_id, price.quantity, usage or {}, attributes, labels)
        # The order and the fields are part of the stored format: a replay may come after an upgrade. Maps are sorted.
        content = _encode_content(
            (
                rpc,
                given,
                min_amount,
                operation,
                quantity,
                usage,
                attributes,
                min_quantity,
                user_id,
                project_id,
                policy,
            )
        )
        return price, _encode_json(named).decode(), content_digest(content), failure


def _policy(value: int) -> int:
    if value == common.OVERAGE_POLICY_UNSPECIFIED:
        return OveragePolicy.ALLOW_IF_AVAILABLE
    return checks.member_of(value, _POLICIES, "overage_policy")


def _ambiguous(quantity: int | None, usage: dict[str, int] | None) -> Exception:
    field = "quantity" if quantity is not None else "usage" if usage is not None else "min_quantity"
    return checks.invalid(field, "cannot be given together with amount_micros: an amount is not priced")


def _settlement(
    quantity: int | None = None,
    usage: dict[str, int] | None = None,
    attributes: dict[str, str] | None = None,
    comment: str = "",
) -> str:
    return _encode_json(
        Settlement(quantity=quantity, usage=usage or {}, attributes=attributes or {}, comment=comment)
    ).decode()
