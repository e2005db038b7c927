"""Alerts: what expires soon, and the delivery of every notification by e-mail and webhook."""

from earmark.jobs.alerts.channels import Channel, DeliveryError
from earmark.jobs.alerts.delivery import Deliverer, DeliveryOptions
from earmark.jobs.alerts.expiring import ExpiringSoon, ExpiringSoonOptions
from earmark.jobs.alerts.mail import MailServer
from earmark.jobs.alerts.webhook import signature

__all__ = [
    "Channel",
    "Deliverer",
    "DeliveryError",
    "DeliveryOptions",
    "ExpiringSoon",
    "ExpiringSoonOptions",
    "MailServer",
    "signature",
]
