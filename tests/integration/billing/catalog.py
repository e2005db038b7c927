"""The catalog of the billing tests, in the words of a document."""

from __future__ import annotations

__all__ = ["CATALOG"]

CATALOG = """
format: 1
name: billing
grants:
  free: {validity: never}
  subscription: {validity: never}
  promotion: {validity: 10 days}
operations:
  image: {price: 1}
  api: {price: free, requires: api}
plans:
  trial: {credits: 5, kind: free, cycle: once, claimed: true, only_new: true, prices: {month: {USD: 0}}}
  starter: {credits: 5, kind: free, cycle: once, seats: 1, prices: {month: {USD: 0}}}
  basic:
    credits: 20
    rollover: 40
    seats: 1
    prices: {month: {USD: 9.99}, year: {USD: 99.99}}
    entitlements: {api: false}
  pro:
    credits: 50
    rollover: 100
    seats: 3
    prices: {month: {USD: 19.99}, year: {USD: 199.99}}
    entitlements: {api: true, storage_days: 365}
  gift: {credits: 15, kind: free, cycle: calendar_month, validity: calendar month, prices: {month: {USD: 0}}}
  paid: {credits: 30, validity: cycle, confirmed_renewal: true, prices: {month: {USDT: 30}}}
  own: {custom: true, seats: unlimited, entitlements: {api: true}}
packs:
  small: {credits: 100, prices: {USD: 10, INSPI: 8}, validity: 30 days}
  any:
    custom:
      min: 10
      max: 1000
      step: 10
      rates:
        - {from: 10, prices: {USD: 0.20}}
        - {from: 100, prices: {USD: 0.15}}
promotions:
  spring: {start: 2020-01-01, end: 2200-01-01, packs: [small], bonus_percent: 25}
"""
