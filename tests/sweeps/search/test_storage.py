"""The journal survives what kills its writers."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from postgres import Server

from gender_lightning.errors import UserError
from gender_lightning.sweeps.search.storage import OUTAGES, open_storage, patiently


def test_half_a_line_of_a_killed_writer_does_no_harm(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    study = optuna.create_study(study_name="s", storage=open_storage(str(journal)))
    study.ask()
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    other = optuna.load_study(study_name="s", storage=open_storage(str(journal)))
    other.ask()
    assert len(study.trials) == len(other.trials) == 2
    # as Optuna's own programs read it (optuna-dashboard)
    theirs = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    assert len(optuna.load_study(study_name="s", storage=theirs).trials) == 2


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="search.storage: its database driver is not installed"):
        open_storage("nosuchbase://localhost/x")
    with pytest.raises(UserError, match="search.storage cannot be used"):
        open_storage(f"sqlite:///{tmp_path / 'nowhere' / 'study.db'}")


def test_a_server_that_is_restarted_is_waited_for(postgres: Server, postgres_url: str) -> None:
    study = optuna.create_study(study_name="s", storage=open_storage(postgres_url))
    postgres.stop()
    with pytest.raises(OUTAGES):
        patiently(study.ask, threading.Event(), seconds=0)
    starting = threading.Timer(1.0, postgres.start)
    starting.start()
    patiently(study.ask, threading.Event())
    starting.join()
    assert len(study.trials) == 1


def test_the_dashboard_shows_a_journal(tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    journal = str(tmp_path / "journal.log")
    study = optuna.create_study(study_name="faces", storage=open_storage(journal), direction="maximize")
    trial = study.ask()
    trial.suggest_float("optimizer.lr", 0.1, 0.2)
    study.tell(trial, 0.75)
    # as `optuna-dashboard journal.log` opens it
    theirs = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(journal))
    app = dashboard.wsgi(theirs)
    (summary,) = _get(app, "/api/studies")["study_summaries"]
    shown = _get(app, f"/api/studies/{summary['study_id']}")["trials"]
    assert summary["study_name"] == "faces" and [study["values"] for study in shown] == [[0.75]]


def _get(app: Any, path: str) -> Any:
    said: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80",
               "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http"}  # fmt: skip
    body = b"".join(app(environ, lambda status, headers, *rest: said.append(status)))
    assert said == ["200 OK"], body
    return json.loads(body)
