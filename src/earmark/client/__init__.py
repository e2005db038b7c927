"""The Python client: holds over one session stream, for asyncio and for threads."""

from earmark.client.aio import AsyncClient
from earmark.client.amounts import OveragePolicy
from earmark.client.failures import CallTimedOut, ClientClosed, UnsettledCommit, UnsettledCommits
from earmark.client.holds import Hold
from earmark.client.offers import CoveringPack, Estimate, EstimatedItem, Item, Price, PriceLine, Quote
from earmark.client.settlement import HoldStateError
from earmark.client.threads import Client, ThreadHold
from earmark.client.values import Account, AccountBalance, Allocation, Balance, Grant, Notice, Receipt, Reservation

__all__ = [
    "Account",
    "AccountBalance",
    "Allocation",
    "AsyncClient",
    "Balance",
    "CallTimedOut",
    "Client",
    "ClientClosed",
    "CoveringPack",
    "Estimate",
    "EstimatedItem",
    "Grant",
    "Hold",
    "HoldStateError",
    "Item",
    "Notice",
    "OveragePolicy",
    "Price",
    "PriceLine",
    "Quote",
    "Receipt",
    "Reservation",
    "ThreadHold",
    "UnsettledCommit",
    "UnsettledCommits",
]
