"""Whatever becomes of W&B, the training goes on, and one sentence says so."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import wandb
from wandb_helpers import fail, fit, history, records, wandb_config

from gender_lightning.runs import Run
from gender_lightning.training.logs import wandb_session
from gender_lightning.training.logs.loggers import finish_loggers, make_loggers
from gender_lightning.training.logs.wandb_session import GuardedWandbLogger

pytestmark = pytest.mark.usefixtures("isolated_wandb")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = (record for record in caplog.records if record.name.startswith("gender_lightning"))
    return [record.getMessage() for record in ours if record.levelno >= logging.WARNING]


def test_a_temporary_folder_that_vanished_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    loggers = make_loggers(wandb_config(), run)
    fit(run, loggers)
    finish_loggers(loggers, 0)
    (said,) = warnings(caplog)
    assert f"{tmp_path / 'gone'}: No such file or directory" in said and "set TMPDIR to another one" in said


def test_a_wandb_that_never_starts_is_given_up(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(wandb_session, "OPEN_SECONDS", 0.2)
    monkeypatch.setattr(wandb, "init", lambda **_: gate.wait(60))
    loggers = make_loggers(wandb_config(), run)
    fit(run, loggers)
    finish_loggers(loggers, 0)
    assert len(warnings(caplog)) == 1 and "has not started" in warnings(caplog)[0]
    gate.set()


def test_a_wandb_that_does_not_start_stops_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wandb, "init", fail)
    loggers = make_loggers(wandb_config(), run)
    fit(run, loggers, pl.callbacks.LearningRateMonitor())
    finish_loggers(loggers, 0)
    assert len(warnings(caplog)) == 1
    assert "moon" in warnings(caplog)[0]


def test_a_wandb_that_does_not_import_stops_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # what `import wandb` then raises is an ImportError
    loggers = make_loggers(wandb_config(), run)
    fit(run, loggers, pl.callbacks.LearningRateMonitor())
    finish_loggers(loggers, 0)
    assert len(warnings(caplog)) == 1
    monkeypatch.undo()  # the fixture tears W&B down


@pytest.mark.parametrize("method", ["log", "finish"])
def test_a_wandb_that_breaks_stops_nothing(
    run: Run, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loggers = make_loggers(wandb_config(), run)
    loggers[0].wait()
    with monkeypatch.context() as broken:
        broken.setattr(loggers[0].experiment, method, fail)
        fit(run, loggers)
        finish_loggers(loggers, 0)
    assert len(warnings(caplog)) == 1
    assert "moon" in warnings(caplog)[0]


def test_an_unreachable_wandb_becomes_an_offline_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(wandb_session, "INIT_SECONDS", 1)
    loggers = make_loggers(wandb_config(), run)
    fit(run, loggers)
    finish_loggers(loggers, 0)
    assert len(warnings(caplog)) == 1
    assert "cannot be reached" in warnings(caplog)[0]
    assert history(records(run))["train/loss"]


class _Server(BaseHTTPRequestHandler):
    """A W&B that refuses, is broken, or takes the call and never answers."""

    answer = 200
    gate = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.answer == 0:
            self.gate.wait(60)
            return
        self.send_response(self.answer)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing on the console."""


@pytest.mark.parametrize("answer", [401, 500, 0])
def test_a_wandb_that_refuses_or_is_slow_becomes_an_offline_run(
    run: Run, answer: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    handler = type("Handler", (_Server,), {"answer": answer, "gate": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(wandb_session, "INIT_SECONDS", 2)
    try:
        loggers = make_loggers(wandb_config(), run)
        fit(run, loggers)
        finish_loggers(loggers, 0)
    finally:
        handler.gate.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
    assert len(warnings(caplog)) == 1 and "This run is kept offline" in warnings(caplog)[0]
    assert history(records(run))["train/loss"]


def test_what_is_logged_while_the_run_opens_is_not_lost(run: Run) -> None:
    gate, opened = threading.Event(), []
    logger = GuardedWandbLogger(
        lambda: gate.wait(60) and SimpleNamespace(log=opened.append, name="n"),
        project="p",
        run_id="i",
        directory=run.path,
    )
    logger.start()
    logger.log_metrics({"x": 1.0}, 0)
    logger.log_metrics({"x": 2.0}, 1)
    assert logger.alive and opened == []
    later = logger.experiment  # Lightning asks for it before the training, and must not wait
    gate.set()
    assert later.name == "n"
    logger.log_metrics({"x": 3.0}, 2)
    assert [(values["x"], values["trainer/global_step"]) for values in opened] == [(1.0, 0), (2.0, 1), (3.0, 2)]


def test_the_run_is_recorded_by_the_thread_that_trains(run: Run) -> None:
    """Or its rewriting of run.json could overlap that of the first step and lose one of them on a slow disk."""
    recorded: list[int] = []
    logger = GuardedWandbLogger(
        lambda: SimpleNamespace(log=lambda values: None, id="i"),  # type: ignore[arg-type, return-value]
        project="p",
        run_id="i",
        directory=run.path,
        on_open=lambda opened: recorded.append(threading.get_ident()),
    )
    logger.start()
    logger.log_metrics({"x": 1.0}, 0)
    logger.wait()
    assert recorded == [threading.get_ident()]
