"""`CatalogService`: installs catalogs, and lists what is sold and what it costs."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

from collections.abc import Callable

from earmark.catalogs.current import Catalogs, CatalogVersions
from earmark.domain.packs import offer
from earmark.errors import Reason, error
from earmark.server import checks
from earmark.server.admission import Admission
from earmark.server.catalog_forms import fill_catalog, fill_pack, fill_plan, fill_price
from earmark.server.unary import Context, unary
from earmark.v1 import catalog_service_pb2 as pb
from earmark.v1 import catalog_service_pb2_grpc as rpc

__all__ = ["CatalogServicer"]

_MAX_VERSION = 2**31 - 1


class CatalogServicer(rpc.CatalogServiceServicer):
    """The servicer."""

    needs_store = False
    """Catalogs are in SQL; the one in force is in memory."""

    def __init__(
        self, catalogs: Catalogs, versions: CatalogVersions, admission: Admission, now: Callable[[], int]
    ) -> None:
        """`now` is the store's time: promotions begin and end by it."""
        self.admission = admission
        self._catalogs = catalogs
        self._versions = versions
        self._now = now

    @unary
    async def ApplyCatalog(self, request: pb.ApplyCatalogRequest, _context: Context) -> pb.ApplyCatalogResponse:
        """Check a document, and install it as the next version."""
        if not request.document:
            raise checks.invalid("document", "is missing")
        if request.validate_only:
            if request.request_id:
                checks.request_id(request.request_id)
            applied = await self._catalogs.check(request.document)
        else:
            applied = await self._catalogs.apply(request.document, checks.request_id(request.request_id))
        response = pb.ApplyCatalogResponse(unchanged=applied.unchanged)
        fill_catalog(response.catalog, applied.catalog, request.document, applied.record)
        return response

    @unary
    async def GetCatalog(self, request: pb.GetCatalogRequest, _context: Context) -> pb.GetCatalogResponse:
        """Return one version."""
        if not 0 <= request.version <= _MAX_VERSION:
            raise checks.invalid("version", f"{request.version} is not between 0 and {_MAX_VERSION}")
        version = request.version or await self._versions.latest_version()
        record = await self._versions.get(version) if version else None
        if record is None:
            message = f"there is no version {version} of the catalog" if version else "no catalog is installed"
            raise error(Reason.CATALOG_NOT_FOUND, message, {"version": version})
        response = pb.GetCatalogResponse()
        fill_catalog(response.catalog, await self._catalogs.require(version), record.document, record)
        return response

    @unary
    async def ListPrices(self, request: pb.ListPricesRequest, _context: Context) -> pb.ListPricesResponse:
        """List the action matrix."""
        prefix = checks.name(request.operation_prefix, "operation_prefix")
        catalog = self._catalogs.current
        response = pb.ListPricesResponse(version=catalog.version)
        for operation in catalog.operations.values():
            if operation.name.startswith(prefix):
                fill_price(response.prices.add(), operation)
        return response

    @unary
    async def ListPlans(self, _request: pb.ListPlansRequest, _context: Context) -> pb.ListPlansResponse:
        """List the plans."""
        catalog = self._catalogs.current
        response = pb.ListPlansResponse(version=catalog.version)
        for plan in catalog.plans.values():
            fill_plan(response.plans.add(), plan)
        return response

    @unary
    async def ListPacks(self, request: pb.ListPacksRequest, _context: Context) -> pb.ListPacksResponse:
        """List the packs with their prices now; with a method, those that can be paid with it."""
        method = checks.name(request.method, "method")
        catalog = self._catalogs.current
        now = self._now()
        response = pb.ListPacksResponse(version=catalog.version)
        for pack in catalog.packs.values():
            methods = pack.prices if pack.custom is None else pack.custom.rates[0].unit_prices
            if not method or method in methods:
                fill_pack(response.packs.add(), offer(pack, catalog.promotions, now), method)
        return response
