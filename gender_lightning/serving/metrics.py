"""The numbers of `/metrics`, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one service; no label names a client or a picture."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        """All at zero.

        Args:
            waiting: Number of pictures that no batch has taken yet.
        """
        self._registry = CollectorRegistry()
        common: dict[str, Any] = {"namespace": "gender_lightning", "registry": self._registry}
        self.requests = Counter("requests", "Requests to /predict by HTTP status", ["status"], **common)
        self.seconds = Histogram("request_seconds", "Time that a request to /predict took", buckets=_SECONDS, **common)
        self.pictures = Counter("pictures", "Pictures by status", ["status"], **common)
        self.faces = Counter("faces", "Faces by label", ["label"], **common)
        self.batch = Histogram("batch_pictures", "Pictures that were looked at together", buckets=_SIZES, **common)
        self.network = Counter("network_seconds", "Time for which the network's thread was busy", **common)
        Gauge("waiting_pictures", "Pictures that no batch has taken yet", **common).set_function(waiting)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self._registry)
