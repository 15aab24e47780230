"""Whether W&B can be used: the requested mode, and whether somebody is logged in, without network access or prompts."""

from __future__ import annotations

import logging
import netrc
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

Mode = Literal["online", "offline", "disabled"]
_PUBLIC = "api.wandb.ai"
_PUBLIC_ALIASES = {_PUBLIC, "api.forge.coreweave.com"}  # the default since W&B 0.31, which accepts the same keys
_MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
log = logging.getLogger(__name__)


def named_mode(wanted: Literal["auto", "online", "offline", "disabled"]) -> Mode:
    """Resolve the requested mode: "auto" follows WANDB_MODE and defaults to online."""
    named = os.environ.get("WANDB_MODE", "").lower() if wanted == "auto" else wanted
    return _MODES.get(named, "online")


def choose_mode(wanted: Literal["auto", "online", "offline", "disabled"]) -> Mode:
    """Choose the mode of a run, online only if the user is logged in, without network access or prompts."""
    mode = named_mode(wanted)
    return "offline" if mode == "online" and not logged_in() else mode


def logged_in() -> bool:
    """Whether the environment or the netrc file has a W&B key for the server in use."""
    # wandb.login(prompt=False) would tell as well, but contacts the server, which takes 5 s without a network
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        server = urlsplit(set_up().settings.base_url).netloc
    except Exception as error:  # a broken W&B is reported where the run is opened
        log.debug("W&B has no settings: %s", describe(error))
        server = _PUBLIC
    servers = {server, _PUBLIC} if server in _PUBLIC_ALIASES else {server}
    return not servers.isdisjoint(_netrc_hosts())


def set_up() -> Any:
    """W&B's own state of this process, with its service started and its messages off.

    Raises:
        Exception: Whatever W&B raises where its service cannot start.
    """
    import wandb

    # W&B 0.31 reports a failed start of its service to a recorder. If that does not exist yet, it is made with the lock
    # that the start holds, and both wait for ever.
    with suppress(ImportError):
        from wandb.analytics.opentelemetry.opentelemetry_proxy import get_open_telemetry_proxy

        get_open_telemetry_proxy()
    return wandb.setup(settings=wandb.Settings(silent=True))


def describe(error: Exception) -> str:
    """Describe an error in one line."""
    if isinstance(error, OSError) and error.strerror and str(error.filename).startswith(tempfile.gettempdir()):
        return (
            f"{error.filename}: {error.strerror}; W&B keeps pictures and tables there until they are sent, so free "
            "space, exclude the folder from cleaning, or set TMPDIR to another one"
        )
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _netrc_hosts() -> set[str]:
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            hosts = netrc.netrc(path).hosts
        except (OSError, netrc.NetrcParseError) as error:
            log.debug("%s is not read: %s", path, error)
            continue
        return {host for host, (_, _, key) in hosts.items() if key}
    return set()
