"""What the shell offers at a tab: verbs and actions are ours, groups and fields Hydra's."""

from __future__ import annotations

import sys

import pytest

from gender_lightning.__main__ import main


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "gender-lightning ",
            {
                "train",
                "evaluate",
                "compare",
                "predict",
                "population",
                "export",
                "push",
                "demo",
                "serve",
                "wandb-sweep",
                "benchmark",
                "data",
            },
        ),
        ("gender-lightning tr", {"train"}),
        ("gender-lightning  tr", {"train"}),
        ("gender-lightning data ", {"prepare", "verify", "summary", "audit", "review", "cache"}),
        ("gender-lightning data cache ", {"clear"}),
        ("gender-lightning data ver", {"verify"}),
        ("gender-lightning x", set()),
        ("gender-lightning train model=vgg", {"model=vgg19"}),
        ("gender-lightning train seed=1 trainer.dev", {"trainer.devices="}),
        ("gender-lightning data summary data.zo", {"data.zoom="}),
        ("/usr/bin/gender-lightning evaluate data=", {"data=celeba", "data=folder", "data=synthetic"}),
    ],
)
def test_what_is_offered(
    line: str, wanted: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setattr(sys, "argv", ["gender-lightning", "-sc", "query=bash"])
    main()
    assert set(capsys.readouterr().out.split()) == wanted


def test_it_can_be_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["gender-lightning", "-sc", "install=bash"])
    main()
    assert "COMP_LINE" in capsys.readouterr().out
