"""A W&B run whose failures do not affect the training."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillPending
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import DummyLogger

from gender_lightning.evaluation.metric_list import metrics_of
from gender_lightning.evaluation.subgroups.group_metrics import GAP, WORST
from gender_lightning.wandb_account import describe, set_up

if TYPE_CHECKING:
    from wandb import Run as WandbRun

INIT_SECONDS = 30  # W&B's default of 90 is long without a network
OPEN_SECONDS = 120  # online, then offline; W&B 0.31 waits for ever on a lock of its own if its process cannot start
FINISH_SECONDS = 900  # W&B's default is unlimited, which would stall a sweep when the network fails
_STAGING = "WANDB_DATA_DIR"
log = logging.getLogger(__name__)


class GuardedWandbLogger(pl.loggers.WandbLogger):
    """Lightning's W&B logger around a run that is opened in the background, or around no run.

    Importing W&B and opening a run take as long as importing torch: `start` does both in a thread, and messages
    logged meanwhile are queued. The first failure is reported as a warning, and nothing is sent afterwards.
    Without a run (W&B is broken, or this is not rank 0) all methods do nothing, so that all ranks have the same
    list of loggers.
    """

    def __init__(
        self,
        opener: Callable[[], WandbRun | None] | None,
        *,
        project: str,
        run_id: str | None,
        directory: Path,
        on_open: Callable[[WandbRun], None] | None = None,
    ) -> None:
        """Start a session with the function that opens the run, such as `open_run`, or None; `finish` ends it.

        `on_open` is called with the open run, in the thread that waits for it, since W&B may have chosen another id.
        """
        super().__init__(project=project, id=run_id, save_dir=directory, log_model=False)
        self._opener = opener
        self._on_open = on_open
        self._opening: Future[WandbRun | None] | None = None
        self._waiting: list[tuple[str, Callable[[WandbRun], object]]] = []
        self._run: WandbRun | None = None
        self._broken: WandbRun | None = None
        self.directory = directory

    def start(self) -> None:
        """Start opening the run in a thread.

        No process may be forked before `wait`: it would inherit locks held by the thread.
        """
        if self._opener is None:
            return
        self._opening, opener, self._opener = Future(), self._opener, None
        Thread(target=_fulfil, args=(self._opening, opener), name="open-wandb", daemon=True).start()

    def wait(self) -> None:
        """Wait until the run is open, starting to open it if necessary, and log what was queued."""
        self.start()
        if self._opening is None:
            return
        opening, self._opening = self._opening, None
        try:
            self._run = opening.result(OPEN_SECONDS)
        except StillPending:
            log.warning("W&B has not started within %d s. The training continues without it.", OPEN_SECONDS)
        if self._run is not None and self._on_open is not None:
            self._id = self._run.id
            self._on_open(self._run)
        waiting, self._waiting = self._waiting, []
        for what, action in waiting:
            self._attempt(what, action)

    @property
    def experiment(self) -> Any:
        """The W&B run, whose first use waits until it is open, or a dummy that ignores all calls."""
        if self._opener is not None or self._opening is not None:
            return _PendingRun(self)
        return DummyLogger().experiment if self._run is None else self._run

    @property
    def version(self) -> str | None:
        """The id of the W&B run."""
        return self._id

    @property
    def alive(self) -> bool:
        """Whether logging works, as far as is known."""
        return any(stage is not None for stage in (self._opener, self._opening, self._run))

    def attempt(self, what: str, action: Callable[[WandbRun], object]) -> None:
        """Apply an action to the run once it is open; after the first failure, warn and do nothing any more."""
        if self._opening is not None and not self._opening.done():
            self._waiting.append((what, action))
            return
        self.wait()
        self._attempt(what, action)

    def _attempt(self, what: str, action: Callable[[WandbRun], object]) -> None:
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:  # from W&B, protobuf or the disk: no reason to stop a training
            self._broken, self._run = self._run, None
            log.warning(
                "W&B failed to %s (%s). The training continues without it; metrics.csv has the numbers.",
                what,
                describe(error),
            )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers (or W&B media) at a step of the training."""
        values = dict(metrics) if step is None else {**metrics, "trainer/global_step": step}
        self.attempt("log metrics", lambda run: run.log(values))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the resolved configuration is logged when the run is opened."""

    def finalize(self, status: str) -> None:
        """Do nothing: Lightning calls this after every fit and test, but `finish` ends the run."""

    def finish(self, exit_code: int) -> None:
        """End the run with the exit code of the process, uploading remaining data when online."""
        self.wait()
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


class _PendingRun:
    """A proxy for a run that is still being opened; its first use waits for the run."""

    def __init__(self, logger: GuardedWandbLogger) -> None:
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        self._logger.wait()
        return getattr(self._logger.experiment, name)


def _fulfil(opening: Future[WandbRun | None], opener: Callable[[], WandbRun | None]) -> None:
    try:
        opening.set_result(opener())
    except BaseException as error:  # raised again where it is waited for
        opening.set_exception(error)


def open_run(
    *,
    mode: Literal["online", "offline"],
    directory: Path,
    run_id: str,
    config: Mapping[str, Any],
    **arguments: Any,
) -> WandbRun | None:
    """Open a W&B run, offline if online fails; return None with a warning if both fail.

    Args:
        mode: Whether to log online or offline.
        directory: The run directory; W&B writes all its files to `wandb/` in it.
        run_id: Id of the W&B run; an existing run is continued.
        config: Flat configuration of scalars and lists.
        arguments: `project`, `entity`, `group`, `tags`, `name` of `wandb.init`.
    """
    os.environ.setdefault(_STAGING, _staging(directory))
    earlier = any(directory.glob("wandb/offline-run-*"))
    try:
        _check_temporary_folder()
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
        if earlier:  # the parts of a resumed run are sent together; W&B orders them
            folder = folder.with_name(f"offline-run-*-{run_id}")
        log.info("W&B is offline. To send this run: wandb sync %s", folder)
        return opened
    except Exception as error:  # not installed, damaged, no disk space: no reason to stop a training
        log.warning("W&B does not work (%s). The training continues without it.", describe(error))
        return None


def _check_temporary_folder() -> None:
    """Raise an OSError if W&B could not write temporary files, since its start would then never end."""
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from error


def _init(
    mode: Literal["online", "offline"],
    directory: Path,
    run_id: str,
    config: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> WandbRun:
    import wandb

    set_up()
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
    _define_charts(run)
    return run


def _define_charts(run: WandbRun) -> None:
    """Draw what is measured once an epoch over epochs, everything else over optimizer steps; tables show the best."""
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    run.define_metric("epoch", hidden=True)
    measured = {metric.name: metric.better for metric in metrics_of(place="training")}
    best = {f"val/{name}": better for name, better in {**measured, WORST: "max", GAP: "min"}.items()}
    for name, better in {"train/loss": "min", **best}.items():
        run.define_metric(name, step_metric="epoch", step_sync=True, summary=better)
    for name in ("images_per_second", "val/accuracy_*", "train/weight_*"):
        run.define_metric(name, step_metric="epoch", step_sync=True)


def _forget() -> None:
    """Stop W&B's process, which still holds the id of the run that could not be opened."""
    import wandb

    wandb.teardown()


def _staging(directory: Path) -> str:
    """The staging directory of artifacts; W&B's default is in the home directory."""
    return str(directory / "wandb" / "data")
