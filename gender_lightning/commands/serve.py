"""`gender-lightning serve`: a checkpoint that answers other programs over HTTP."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np

from gender_lightning.commands.steps.interactive import predictor_of
from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import ServeConfig, parse_config
from gender_lightning.console import console
from gender_lightning.errors import UserError
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.predictor import Predictor
from gender_lightning.interruption import GRACE_SECONDS, Interruption
from gender_lightning.training.allocator import tune_heap

TOKEN = "GENDER_LIGHTNING_TOKEN"
_SHORTEST = 16  # characters of a token
_CONNECTIONS = 4  # per request in hand: clients keep them open, and those without a place need an answer too


def main(values: dict[str, Any]) -> None:
    """Serve the checkpoint of the composed configuration, until Ctrl-C or SIGTERM."""
    set_up_logging()
    with Interruption().listening(["SIGTERM"]):
        serve(parse_config(ServeConfig, values))


def serve(config: ServeConfig) -> None:
    """Serve a checkpoint, or the mean of several, until a signal ends it; requests that are there are answered first.

    Raises:
        UserError: The extra `serve` is not installed, the address is taken or unknown, or the token or the checkpoint
            cannot be used.
    """
    server, sockets = _server(config)
    address = _address(config.host, sockets.getsockname()[1])
    console.print(f"{address} answers for {CheckpointSet.of(config.checkpoint)}; Ctrl-C ends it.", markup=False)
    server.run(sockets=[sockets])  # hands the signal on to the handlers that were there before


def _server(config: ServeConfig) -> tuple[Any, socket.socket]:
    """The server, still to be run, and the socket on which it will listen."""
    try:
        import uvicorn

        from gender_lightning.serving.app import create_app
        from gender_lightning.serving.receiving import Limits
        from gender_lightning.serving.service import Service
    except ImportError as error:
        raise UserError(
            f"serve needs {error.name}, which is not installed.", "Install it: pip install 'gender-lightning[serve]'."
        ) from error
    token = read_token(config.token_file)
    if not config.is_local:
        console.print(_warning(config.host, token), markup=False)
    listener = listen(config.host, config.port)
    checkpoints = CheckpointSet.of(config.checkpoint)
    predictor = _predictor(config, checkpoints)
    limits = Limits(
        max_bytes=round(config.max_megabytes * 1e6),
        max_pixels=round(config.max_megapixels * 1e6),
        max_images=config.max_images,
        max_queue=config.max_queue,
        max_rate=config.max_rate,
        timeout=config.timeout,
    )
    service = Service(
        predictor,
        checkpoints.digest(),
        limits,
        max_batch=config.max_batch,
        max_wait=config.max_wait_ms / 1000,
    )
    settings = uvicorn.Config(
        create_app(service, token),
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,  # anyone can write them
        server_header=False,
        limit_concurrency=_CONNECTIONS * config.max_queue,
        timeout_graceful_shutdown=int(GRACE_SECONDS),
    )
    return uvicorn.Server(settings), listener


def _predictor(config: ServeConfig, checkpoints: CheckpointSet) -> Predictor:
    """The predictor, which has been used once, so that the first request does not wait for what is loaded late."""
    predictor = predictor_of(config, checkpoints)
    if predictor.device.type == "cpu":
        tune_heap()
    predictor.predict(np.full((218, 178, 3), 128, dtype=np.uint8))
    return predictor


def read_token(file: str | None) -> str | None:
    """The token of the file or, if none is named, of the environment; None if there is neither.

    Raises:
        UserError: The file cannot be read, or the token is shorter than 16 characters or has spaces in it.
    """
    if file is None:
        token, source = os.environ.get(TOKEN, ""), TOKEN
        if not token:
            return None
    else:
        try:
            token, source = Path(file).expanduser().read_text(encoding="utf-8").strip(), f"token_file={file}"
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise UserError(f"token_file={file} cannot be read: {reason}.", "Check it.", field="token_file") from error
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"The token in {source} is shorter than {_SHORTEST} characters, or has others than printable ASCII.",
            "Make a random one: openssl rand -hex 32.",
            field="token_file",
        )
    return token


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        UserError: The address is taken, not of this computer, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except socket.gaierror as error:
        raise UserError(f"host={host} is unknown.", "Give an address of this computer.", field="host") from error
    except OSError as error:
        raise UserError(
            f"host={host} port={port} cannot be used: {error.strerror}.",
            "Choose another port or address; port=0 takes any free port.",
            field="port",
        ) from error


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _warning(host: str, token: str | None) -> str:
    who = f"host={host}: other computers can reach this service"
    if token is None:
        return f"{who}, and anybody may ask it. Set token_file=... to keep strangers out, and put TLS in front of it."
    return f"{who}. The token and the pictures travel unencrypted: put TLS in front of it, in a reverse proxy."
