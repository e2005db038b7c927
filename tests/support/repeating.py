"""The rule for every client: after UNAVAILABLE the same request again.

A machine on which many tests run makes the store slow at times, and the sidecar says so within 100 ms.
"""

from __future__ import annotations

import json

__all__ = ["REPEATING"]

REPEATING = [
    (
        "grpc.service_config",
        json.dumps(
            {
                "methodConfig": [
                    {
                        "name": [{}],
                        "retryPolicy": {
                            "maxAttempts": 5,
                            "initialBackoff": "0.05s",
                            "maxBackoff": "1s",
                            "backoffMultiplier": 3,
                            "retryableStatusCodes": ["UNAVAILABLE"],
                        },
                    }
                ]
            }
        ),
    )
]
"""Options of a channel whose calls are repeated."""
