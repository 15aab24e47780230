"""A W&B run that can break without the training noticing."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import DummyLogger

if TYPE_CHECKING:
    from wandb import Run as WandbRun

Mode = Literal["online", "offline", "disabled"]
INIT_SECONDS = 30  # W&B's own 90 is long to wait for a network that is not there
FINISH_SECONDS = 900  # W&B's own is for ever, which would stop a sweep when the network breaks
_STAGING = "WANDB_DATA_DIR"
_PUBLIC = "api.wandb.ai"
_PUBLIC_ALIASES = {_PUBLIC, "api.forge.coreweave.com"}  # the default since W&B 0.31; takes the former's keys
_MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
log = logging.getLogger(__name__)


class GuardedWandbLogger(pl.loggers.WandbLogger):
    """Lightning's logger around a W&B run that is open already, or around none.

    The first failure is reported in one warning, and from then on nothing is sent. Without a run (W&B is
    broken, or this is not rank 0) everything does nothing, so all ranks have the same list of loggers.
    """

    def __init__(self, experiment: WandbRun | None, *, project: str, run_id: str | None, directory: Path) -> None:
        """Take a run from `open_run`; finish it by `finish`."""
        super().__init__(project=project, id=run_id, save_dir=directory, log_model=False)
        self._run = experiment
        self._broken: WandbRun | None = None
        self.directory = directory

    @property
    def experiment(self) -> Any:
        """The W&B run; where there is none, a stand-in that swallows every call."""
        return DummyLogger().experiment if self._run is None else self._run

    @property
    def version(self) -> str | None:
        """The id of the W&B run."""
        return self._id

    @property
    def alive(self) -> bool:
        """Whether anything is sent at all."""
        return self._run is not None

    def attempt(self, what: str, action: Callable[[WandbRun], object]) -> None:
        """Do something with the run; on the first failure warn, and leave W&B alone from then on."""
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:  # W&B's, protobuf's, the disk's: none is worth a training
            self._broken, self._run = self._run, None
            log.warning(
                "W&B failed to %s (%s). The training goes on without it; metrics.csv has the numbers.",
                what,
                describe(error),
            )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers (or W&B media) at a step of the training."""
        values = dict(metrics) if step is None else {**metrics, "trainer/global_step": step}
        self.attempt("log metrics", lambda run: run.log(values))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the resolved config went in when the run was opened."""

    def finalize(self, status: str) -> None:
        """Nothing: Lightning calls it after every fit and test; `finish` ends the run."""

    def finish(self, exit_code: int) -> None:
        """End the run with the exit code of the process; uploads what is left when online."""
        log_file = self.directory / "log.txt"
        if log_file.is_file():
            self.attempt("keep log.txt", lambda run: run.save(log_file, base_path=self.directory, policy="end"))
        self.attempt("finish", lambda run: run.finish(exit_code=exit_code))
        if self._broken is not None:  # reported already; its process should still go
            try:
                self._broken.finish(exit_code=exit_code)
            except Exception as error:
                log.debug("W&B failed to finish: %s", describe(error))
        self._run = self._broken = None
        if os.environ.get(_STAGING) == _staging(self.directory):
            del os.environ[_STAGING]


def choose_mode(wanted: Literal["auto", "online", "offline", "disabled"]) -> Mode:
    """Decide where a run goes; "auto" follows WANDB_MODE, and means online where no one says otherwise.

    Online it becomes only when the user is logged in; no network and no prompt are involved.
    """
    named = os.environ.get("WANDB_MODE", "").lower() if wanted == "auto" else wanted
    mode = _MODES.get(named, "online")
    return "offline" if mode == "online" and not logged_in() else mode


def logged_in() -> bool:
    """Whether a W&B key lies in the environment or in the netrc file, for the server in use."""
    # wandb.login(prompt=False) would know too, but asks the server, for 5 s where there is none
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        import wandb

        settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
        server = urlsplit(settings.base_url).netloc
    except Exception as error:  # a broken W&B is reported where the run is opened
        log.debug("W&B has no settings: %s", describe(error))
        server = _PUBLIC
    servers = {server, _PUBLIC} if server in _PUBLIC_ALIASES else {server}
    return not servers.isdisjoint(_netrc_hosts())


def open_run(
    *,
    mode: Literal["online", "offline"],
    directory: Path,
    run_id: str,
    config: Mapping[str, Any],
    **arguments: Any,
) -> WandbRun | None:
    """Open a W&B run; offline where online fails, and none (with a warning) where that fails too.

    Args:
        mode: Where it goes.
        directory: The run directory; all that W&B writes lies in its `wandb/`.
        run_id: A run of that id is gone on with.
        config: Flat, of scalars and lists.
        arguments: `project`, `entity`, `group`, `tags`, `name` of `wandb.init`.
    """
    os.environ.setdefault(_STAGING, _staging(directory))
    earlier = any(directory.glob("wandb/offline-run-*"))
    try:
        if mode == "online":
            try:
                opened = _init("online", directory, run_id, config, arguments)
            except Exception as error:  # no network, a key that is refused, a server that is down
                log.warning("W&B cannot be reached (%s). This run is kept offline.", describe(error))
                _forget()
            else:
                log.info("W&B: %s", opened.url)
                return opened
        opened = _init("offline", directory, run_id, config, arguments)
        folder = Path(opened.settings.sync_dir)
        if earlier:  # the parts of a resumed run are sent together; W&B puts them in order
            folder = folder.with_name(f"offline-run-*-{run_id}")
        log.info("W&B is offline. To send this run: wandb sync %s", folder)
        return opened
    except Exception as error:  # not installed, damaged, no disk space: none is worth a training
        log.warning("W&B does not work (%s). The training goes on without it.", describe(error))
        return None


def describe(error: Exception) -> str:
    """An error in one line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _init(
    mode: Literal["online", "offline"],
    directory: Path,
    run_id: str,
    config: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> WandbRun:
    import wandb

    wandb.setup(settings=wandb.Settings(silent=True))
    settings = wandb.Settings(
        silent=True,  # what matters is logged by us, once
        console="off",  # a live progress bar would fill the file; log.txt goes along at the end
        reinit="finish_previous",  # never write into the run of another training of this process
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        x_transaction_log_flush_interval=1,  # the default loses the last 15 s, or everything, at a kill
    )
    run = wandb.init(
        mode=mode,
        dir=str(directory),
        id=run_id,
        resume="allow",
        config=dict(config),
        settings=settings,
        **arguments,
    )
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


def _forget() -> None:
    """End W&B's process, which holds the id of the run that could not be opened."""
    import wandb

    wandb.teardown()


def _staging(directory: Path) -> str:
    """Where artifacts wait for their upload; W&B's own place is the home directory."""
    return str(directory / "wandb" / "data")


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
