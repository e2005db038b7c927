"""A YAML document to a catalog: everything that is wrong with it is said at once, each with its line and field."""

from __future__ import annotations

from earmark.catalogs.document import MapNode, read_document
from earmark.catalogs.fields import MAX_NAME, Field, Section, closest
from earmark.catalogs.prices import read_operations
from earmark.catalogs.problems import InvalidCatalog, Problem, Problems
from earmark.catalogs.rules import read_grants, read_limits, read_thresholds
from earmark.catalogs.sales import Defaults, read_packs, read_plans, read_promotions
from earmark.domain.catalog import DEFAULT_HORIZON, AttributePrice, Catalog, Operation, Plan

__all__ = ["parse_catalog"]

_FORMAT = 1


def parse_catalog(document: str, version: int = 0) -> Catalog:
    """Read a document; `version` is the number that the catalog gets.

    Raises:
        InvalidCatalog: with every problem: line, column, field, and what was expected.
    """
    problems = Problems()
    root = read_document(document, problems)
    if not isinstance(root, MapNode):
        raise InvalidCatalog([Problem(1, 1, "", "expected a map with operations, plans, packs, ...")])
    catalog = _catalog(Section(root, "", problems), version)
    problems.check()
    return catalog


def _catalog(top: Section, version: int) -> Catalog:
    form, name, _about = top.get("format"), top.get("name"), top.get("description")
    if form is not None:
        form.integer("1, the only format of catalogs so far", _FORMAT, _FORMAT)
    soon, strict = top.get("expiring_soon"), top.get("strict")
    thresholds, limits = read_thresholds(top.get("thresholds")), read_limits(top.get("limits"))
    validity, priority = read_grants(top.get("grants"))
    defaults = Defaults(validity, priority)
    operation_list = _section(top, "operations", "a map of operations by name")
    operations = read_operations(operation_list)
    plans = read_plans(_section(top, "plans", "a map of plans by name"), defaults)
    packs = read_packs(_section(top, "packs", "a map of packs by name"), defaults)
    promotions = read_promotions(_section(top, "promotions", "a map of promotions by name"), packs, defaults)
    default_plan, analytics, alerts = (
        top.get(key) for key in ("default_plan", "analytics_entitlement", "alerts_entitlement")
    )
    top.end()
    entitlements = list(dict.fromkeys(key for plan in plans.values() for key in plan.entitlements))
    _check_requirements(operation_list, operations, entitlements)
    return Catalog(
        version,
        (name.prose(longest=MAX_NAME) or "") if name is not None else "",
        operations,
        plans,
        packs,
        promotions,
        limits,
        thresholds,
        validity,
        priority,
        (soon.duration() or DEFAULT_HORIZON) if soon is not None else DEFAULT_HORIZON,
        _default_plan(default_plan, plans),
        (analytics.known(entitlements, "an entitlement of the plans") or "") if analytics is not None else "",
        (alerts.known(entitlements, "an entitlement of the plans") or "") if alerts is not None else "",
        strict is not None and strict.boolean() is True,
    )


def _section(top: Section, name: str, what: str) -> Section | None:
    field = top.get(name)
    return field.section(what) if field is not None else None


def _default_plan(field: Field | None, plans: dict[str, Plan]) -> str:
    chosen = field.known(plans, "a plan") if field is not None else None
    if field is None or chosen is None:
        return ""
    if plans[chosen].claimed or plans[chosen].custom:
        field.wrong("a plan that is claimed or custom cannot be what every new account gets")
    return chosen


def _check_requirements(section: Section | None, operations: dict[str, Operation], entitlements: list[str]) -> None:
    """What an operation requires, some plan must give: else nobody could ever use it."""
    if section is None:
        return
    for name, operation in operations.items():
        required = [operation.requires]
        if isinstance(operation.price, AttributePrice):
            required += [row.requires for row in operation.price.rows]
        for entitlement in required:
            if entitlement and entitlement not in entitlements and (field := section.get(name)) is not None:
                hint = closest(entitlement, entitlements)
                field.wrong(f"no plan has the entitlement {entitlement!r} that it requires: {hint}")
