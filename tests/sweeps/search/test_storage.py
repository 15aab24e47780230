"""The journal survives what kills its writers."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from gender_lightning.errors import UserError
from gender_lightning.sweeps.search.storage import open_storage


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
    with pytest.raises(UserError, match="search.storage"):
        open_storage("nosuchbase://localhost/x")
