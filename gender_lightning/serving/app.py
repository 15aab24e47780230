"""The service as an ASGI application: `POST /predict`, `GET /health`, `/metrics` and `/openapi.json`."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gender_lightning.serving.answers import Health, Question, Refusal, Reply
from gender_lightning.serving.metrics import Metrics
from gender_lightning.serving.receiving import JSON, MULTIPART, Upload, receive
from gender_lightning.serving.service import Service

_ABOUT = (
    "Labels for the faces in pictures: gender as perceived by annotators, in two classes, or `uncertain`. It is not a "
    "person's gender, and not for decisions about a person. Pictures stay in memory, and are neither kept nor logged."
)
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
_FORM = {"type": "object", "required": ["image"], "properties": {"image": _FILES}}
_REASONS = {
    400: "The body cannot be read.",
    401: "The token is missing or wrong.",
    408: "The request took too long to arrive.",
    413: "The request is too large, or has too many pictures.",
    415: "The body is neither a form nor JSON.",
    429: "The client asks too often; see Retry-After.",
    503: "The service is busy or stopping; see Retry-After.",
    504: "The answer took too long.",
}
_UNREADABLE: dict[int | str, dict[str, Any]] = {
    422: {"model": Reply, "description": "None of the pictures can be read; their notes say why."}
}
_bearer = HTTPBearer(auto_error=False, description="The token that the service was started with, if it was.")


def create_app(service: Service, token: str | None = None) -> FastAPI:
    """The application of a service, which it closes at its end.

    Args:
        service: What answers.
        token: What clients must send as ``Authorization: Bearer ...`` for everything but `/health`; None for nothing.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(service.batcher.close)

    def known(sent: HTTPAuthorizationCredentials | None = Depends(_bearer)) -> None:  # noqa: B008
        if token is not None and not (sent and hmac.compare_digest(sent.credentials.encode(), token.encode())):
            raise HTTPException(401, "Send the token of this service.", headers={"WWW-Authenticate": "Bearer"})

    # The usual pages for people (/docs, /redoc) load their scripts from elsewhere, so there are none.
    app = FastAPI(
        title="gender_lightning", version=service.model.version, description=_ABOUT, lifespan=lifespan,
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip
    app.state.service = service
    app.add_middleware(_Counted, metrics=service.metrics)
    _add_predict(app, service, known)
    _add_status(app, service, known)
    return app


class _Counted:
    """Counts and times the requests to `/predict`, whatever their end."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/predict":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.requests.labels(str(status)).inc()
            self._metrics.seconds.observe(time.perf_counter() - began)


def _add_predict(app: FastAPI, service: Service, known: Callable[..., None]) -> None:
    question = Question.model_json_schema()
    question["properties"]["images"]["items"] = question.pop("$defs")["SentPicture"]
    body = {"required": True, "content": {MULTIPART: {"schema": _FORM}, JSON: {"schema": question}}}
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Refusal, "description": reason} for status, reason in _REASONS.items()
    }

    def rated(request: Request) -> None:
        service.check_rate(request.client.host if request.client else "")

    @app.post(
        "/predict",
        response_model=Reply,
        responses=refusals | _UNREADABLE,
        openapi_extra={"requestBody": body},
        dependencies=[Depends(rated), Depends(known)],
    )
    async def predict(request: Request) -> Response:
        """Label the faces in one or several pictures."""
        deadline = asyncio.get_running_loop().time() + service.limits.timeout
        with service.admitted():
            uploads = await _received(request, service, deadline)
            try:
                async with asyncio.timeout_at(deadline):
                    pictures = await service.answer(uploads)
            except TimeoutError:
                raise HTTPException(504, f"There was no answer within {service.limits.timeout:g} s.") from None
        answer = Reply(model=service.model, pictures=pictures)
        readable = any(picture.status != "unreadable" for picture in pictures)
        return Response(answer.model_dump_json(), 200 if readable else 422, media_type=JSON)


async def _received(request: Request, service: Service, deadline: float) -> list[Upload]:
    try:
        async with asyncio.timeout_at(deadline):
            return await receive(request, service.limits)
    except TimeoutError:
        raise HTTPException(408, f"The request did not arrive within {service.limits.timeout:g} s.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The request was broken off.") from None  # nobody reads it, but it is counted


def _add_status(app: FastAPI, service: Service, known: Callable[..., None]) -> None:
    @app.get("/health", response_model=Health, responses={503: {"model": Health, "description": "It is stopping."}})
    def health() -> Response:
        """Whether the service answers; needs no token."""
        alive = service.batcher.is_alive
        told = Health(status="ok" if alive else "stopping", model=service.model)
        return JSONResponse(told.model_dump(), 200 if alive else 503)

    @app.get("/metrics", response_class=Response, dependencies=[Depends(known)])
    def metrics() -> Response:
        """Numbers of the service, in Prometheus' format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(known)])
    def description() -> JSONResponse:
        return JSONResponse(app.openapi())
