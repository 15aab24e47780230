"""The work of the service behind HTTP: admission, batches, answers, numbers."""

from __future__ import annotations

import asyncio
import io
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastapi import HTTPException

from gender_lightning.inference.predictor import Prediction, Predictor
from gender_lightning.serving.answers import Model, Picture, picture_answer
from gender_lightning.serving.batching import Batcher
from gender_lightning.serving.metrics import Metrics
from gender_lightning.serving.rates import Rates
from gender_lightning.serving.receiving import Limits, Upload


class _Named(io.BytesIO):
    """A file in memory, which messages call by its name."""

    def __init__(self, upload: Upload) -> None:
        super().__init__(upload.data)
        self.name = upload.name


class Service:
    """Answers for pictures with one predictor, which one thread uses."""

    def __init__(
        self, predictor: Predictor, fingerprint: str, limits: Limits, *, max_batch: int = 32, max_wait: float = 0.005
    ) -> None:
        """Start the thread of the network.

        Args:
            predictor: What answers.
            fingerprint: SHA-256 of its checkpoint, or of its several, in hexadecimal.
            limits: What is accepted.
            max_batch: Most pictures that are looked at together.
            max_wait: Longest time that a picture waits for others to join its batch, s.
        """
        self.predictor = predictor
        self.limits = limits
        self.model = _model(predictor, fingerprint)
        self._batch = max_batch
        self.batcher: Batcher[Upload, list[Prediction]] = Batcher(self._look, max_batch, max_wait)
        self.metrics = Metrics(lambda: self.batcher.waiting)
        self._rates = None if limits.max_rate is None else Rates(limits.max_rate)
        self._in_hand = 0

    def check_rate(self, client: str) -> None:
        """Count a request of this address.

        Raises:
            HTTPException: 429, it asks too often.
        """
        wait = self._rates.wait(client, time.monotonic()) if self._rates else 0.0
        if wait:
            raise _later(429, "Too many requests from this address.", wait)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place for a request, while it is read and answered.

        Raises:
            HTTPException: 503, there is no place.
        """
        if self._in_hand >= self.limits.max_queue:
            raise _later(503, "The service is busy.", 1)
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    async def answer(self, uploads: Sequence[Upload]) -> list[Picture]:
        """The answers for pictures, in order; pictures that are refused or unreadable say so.

        Raises:
            HTTPException: 503, it has been closed.
        """
        if not self.batcher.is_alive:
            raise _later(503, "The service is stopping.", 5)
        readable = [upload for upload in uploads if not upload.problem]
        given = iter(await asyncio.gather(*(asyncio.wrap_future(self.batcher.ask(upload)) for upload in readable)))
        pictures = []
        for upload in uploads:
            if upload.problem:
                pictures.append(Picture(name=upload.name, status="unreadable", note=upload.problem, faces=[]))
            else:
                pictures.append(picture_answer(upload.name, next(given)))
        self._count(pictures)
        return pictures

    def _look(self, uploads: Sequence[Upload]) -> list[list[Prediction]]:
        """What the predictor says of each picture; called by the network's thread."""
        began = time.perf_counter()
        files = [_Named(upload) for upload in uploads]
        found: list[list[Prediction]] = self.predictor.predict_faces(files, batch_size=self._batch, on_error="skip")
        self.metrics.network.inc(time.perf_counter() - began)
        self.metrics.batch.observe(len(uploads))
        return found

    def _count(self, pictures: Sequence[Picture]) -> None:
        for picture in pictures:
            self.metrics.pictures.labels(picture.status).inc()
            for face in picture.faces:
                self.metrics.faces.labels(face.label).inc()


def _model(predictor: Predictor, fingerprint: str) -> Model:
    spec = predictor.spec
    return Model(
        fingerprint=fingerprint,
        backbone=spec.backbone,
        classes=list(spec.class_names),
        threshold=spec.threshold,
        min_confidence=predictor.min_confidence,
        max_disagreement=predictor.max_disagreement,
        version=spec.package_version,
    )


def _later(status: int, problem: str, seconds: float) -> HTTPException:
    whole = max(1, math.ceil(seconds))
    return HTTPException(status, f"{problem} Try again in {whole} s.", headers={"Retry-After": str(whole)})
