"""A request's body: read within its limits, into memory alone, as pictures with names."""

from __future__ import annotations

import asyncio
import base64
import binascii
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import HTTPException, Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from gender_lightning.data.decoding import claimed_size
from gender_lightning.serving.answers import Question

MULTIPART, JSON = "multipart/form-data", "application/json"


@dataclass(frozen=True)
class Limits:
    """What a service accepts.

    Attributes:
        max_bytes: Largest request.
        max_pixels: Largest picture.
        max_images: Most pictures of a request.
        max_queue: Most requests in hand.
        max_rate: Most requests per second of one client; None for any number.
        timeout: Longest time for a request to arrive and to be answered, s.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 25_000_000
    max_images: int = 16
    max_queue: int = 64
    max_rate: float | None = 100.0
    timeout: float = 30.0


@dataclass(frozen=True)
class Upload:
    """A picture that was sent.

    Attributes:
        name: The name for the answer.
        data: The bytes of the file; empty if they are refused.
        problem: Why it is refused without being decoded; usually empty.
    """

    name: str
    data: bytes
    problem: str = ""


class _InMemory(MultiPartParser):
    """Starlette's parser, without its temporary files on the disk."""

    spool_max_size = sys.maxsize


async def receive(request: Request, limits: Limits) -> list[Upload]:
    """The pictures of a request, one at least.

    Raises:
        HTTPException: 400 for a body that cannot be read, 413 for one that is too large or has too many pictures, 415
            for one that is of another kind.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (MULTIPART, JSON):
        raise HTTPException(415, f"The body is {kind or 'of no kind'}. Send {MULTIPART} or {JSON}.")
    if int(request.headers.get("content-length", 0)) > limits.max_bytes:
        raise _too_large(limits)
    body = _capped(request, limits)
    uploads = await (_of_form(request, body, limits) if kind == MULTIPART else _of_json(body))
    if not uploads:
        raise HTTPException(400, "There is no picture in the request. Send one.")
    if len(uploads) > limits.max_images:
        raise _too_many(limits)
    return await asyncio.to_thread(lambda: [_checked(upload, limits) for upload in uploads])


async def _capped(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > limits.max_bytes:
            raise _too_large(limits)
        yield chunk


async def _of_form(request: Request, body: AsyncGenerator[bytes, None], limits: Limits) -> list[Upload]:
    parser = _InMemory(request.headers, body, max_files=limits.max_images + 1, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise _too_many(limits) from error
        raise HTTPException(400, f"The form cannot be read: {error.message.rstrip('.')}. Send files only.") from error
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        return [Upload(_name(file.filename or "", place), await file.read()) for place, file in enumerate(files)]
    finally:
        await form.close()


async def _of_json(body: AsyncGenerator[bytes, None]) -> list[Upload]:
    content = b"".join([chunk async for chunk in body])
    return await asyncio.to_thread(_from_json, content)


def _from_json(content: bytes) -> list[Upload]:
    try:
        question = Question.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:4])[:80]
        problem = f"{f'{where}: ' if where else ''}{first['msg']}"
        raise HTTPException(400, f'The JSON is not {{"images": [{{"data": "<Base64>"}}]}} ({problem}).') from error
    uploads = []
    for place, picture in enumerate(question.images):
        try:
            data = base64.b64decode(picture.data, validate=True)
        except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
            raise HTTPException(400, f"images.{place}.data is not Base64.") from error
        uploads.append(Upload(_name(picture.name, place), data))
    return uploads


def _checked(upload: Upload, limits: Limits) -> Upload:
    width, height = claimed_size(upload.data)
    if width * height <= limits.max_pixels:
        return upload
    allowed = f"{limits.max_pixels / 1e6:g} million"
    problem = f"{upload.name} has {width} x {height} pixels, which is more than {allowed}. Make it smaller."
    return Upload(upload.name, b"", problem)


def _name(given: str, place: int) -> str:
    return given[:255] or str(place)


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"The request is larger than {limits.max_bytes / 1e6:g} MB. Send fewer or smaller ones.")


def _too_many(limits: Limits) -> HTTPException:
    return HTTPException(413, f"The request has more than {limits.max_images} pictures. Send several requests.")
