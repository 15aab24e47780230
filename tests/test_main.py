"""The command line from outside: help, dispatch and what it does with mistakes."""

from __future__ import annotations

import errno
import importlib.metadata
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gender_lightning.__main__ import COMMANDS, main, usage
from gender_lightning.errors import UserError

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`gender-lightning ...` in this process: exit code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gender-lightning", *arguments])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a function in the place of a verb's `main`."""

    def replace(verb: str, function: Callable[..., None]) -> None:
        monkeypatch.setitem(sys.modules, f"gender_lightning.commands.{verb}", SimpleNamespace(main=function))  # type: ignore[arg-type]

    return replace


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [(["--help"], ["torch", "hydra", "pydantic"]), (["train", "--help"], ["torch"]), (["train", "lr=1"], ["torch"])],
)
def test_what_needs_no_torch_does_not_load_it(arguments: list[str], unwanted: list[str]) -> None:
    program = (
        "import sys, contextlib\nfrom gender_lightning.__main__ import main\n"
        f"sys.argv = ['gender-lightning', *{arguments!r}]\n"
        "with contextlib.suppress(SystemExit): main()\n"
        f"sys.stderr.write('LOADED' + str([name for name in {unwanted!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.endswith("LOADED[]")


def test_the_module_and_the_console_script_are_one() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="gender-lightning")
    assert script.load() is main
    done = subprocess.run([sys.executable, "-m", "gender_lightning"], capture_output=True, text=True, check=True)
    assert done.stdout == usage()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_has_a_line_and_an_example_for_each_verb(cli: Cli, arguments: list[str]) -> None:
    code, out, _ = cli(*arguments)
    assert code == 0
    for verb, told in COMMANDS.items():
        assert f"  {verb:<12} {told.purpose}\n" in out and f"gender-lightning {told.example}\n" in out


def test_version(cli: Cli) -> None:
    assert cli("--version")[1] == f"gender-lightning {importlib.metadata.version('gender-lightning')}\n"


def test_help_with_overrides_shows_their_defaults(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [_base, _self_]\nname: timm/mine\ndropout: 0.25\n")
    code, out, _ = cli("train", "--config-dir", str(tmp_path), "model=mine", "--help")
    assert code == 0 and "  model.dropout=0.25 " in out and "model: convnext_tiny, efficientnet_b0" in out
    assert "googlenet, mine, resnet18" in out
    code, out, _ = cli("train", "--help", "trainer")
    assert code == 0 and "trainer.max_epochs=5" in out and "model." not in out
    code, _, err = cli("train", "--help", "modle=x")
    assert code == 2 and "modle" in err and "Traceback" not in err
    code, out, _ = cli("data", "verify", "-h")
    assert code == 0 and "decodes every image" in out and "data.root=data/celeba" in out


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_example_in_the_help_is_right(verb: str) -> None:
    from gender_lightning.overrides import check

    for line, _ in COMMANDS[verb].examples:
        said, *rest = shlex.split(line)
        assert said == verb
        if COMMANDS[verb].actions:
            assert rest.pop(0) in COMMANDS[verb].actions
        if "--config-dir" not in rest:
            check(verb, rest)


def test_cfg_job_stays_hydras(cli: Cli) -> None:
    code, out, _ = cli("train", "--cfg", "job", "model=vgg19")
    assert code == 0 and "name: vgg19" in out and "hydra:" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "There is no command 'trian'. Did you mean 'train'?"),
        (
            ["data"],
            "data: an action is missing. Write one of: data prepare, data verify, data summary, data audit, "
            "data review, data cache clear.",
        ),
        (["data", "data=celeba"], "'data=celeba' is not one of its actions."),
        (["train", "modle=vgg19", "seed=x"], "2 mistakes:\n- modle: there is no such field. Did you mean 'model'?"),
        (["evaluate"], "checkpoint: a value is missing."),
        (["evaluate", "checkpoint=x", "data.image_size=64"], "the framing belongs to the checkpoint"),
    ],
)
def test_a_mistake_is_told_with_exit_code_2(cli: Cli, arguments: list[str], message: str) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_a_command_gets_plain_values_and_the_whole_command_line(cli: Cli, command: Callable[..., None]) -> None:
    seen: list[Any] = []
    command("train", lambda values: seen.append((values, list(sys.argv))))
    command("data", lambda values, action: seen.append((values, action)))
    assert cli("train", "seed=0", "model=vgg19")[0] == 0
    assert cli("data", "verify", "data=folder")[0] == 0
    (values, argv), (of_data, action) = seen
    assert type(values) is dict and type(values["model"]) is dict and values["seed"] == 0
    assert argv == ["gender-lightning", "train", "seed=0", "model=vgg19"], "Lightning starts further ranks from it"
    assert action == "verify" and of_data["data"]["name"] == "folder"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("This is wrong. Do that."), 2, "This is wrong. Do that.\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 2, "There is no disk space left for /x. Free some"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_how_a_command_that_stops_ends(
    cli: Cli, command: Callable[..., None], error: BaseException, code: int, message: str
) -> None:
    def stop(values: dict[str, Any]) -> None:
        raise error

    command("train", stop)
    ended, _, err = cli("train")
    assert ended == code and err.startswith(message) and "Traceback" not in err


def test_a_bug_keeps_its_traceback(cli: Cli, command: Callable[..., None]) -> None:
    def fail(values: dict[str, Any]) -> None:
        raise RuntimeError("ours")

    command("train", fail)
    with pytest.raises(RuntimeError, match="ours"):  # Python prints the traceback, and ends with 1
        cli("train")


def test_what_a_machine_or_a_disk_lacks_is_one_sentence(cli: Cli, tiny_celeba: Path, tmp_path: Path) -> None:
    small = [
        "data=celeba", "data.image_size=32", "data.workers=0", "model=resnet18", "trainer=debug",
        "trainer.accelerator=cpu", "logger=csv",
    ]  # fmt: skip
    there, run_dir, taken = f"data.root={tiny_celeba}", f"run_dir={tmp_path / 'run'}", tmp_path / "taken"
    taken.mkdir()
    (tmp_path / "no.ckpt").write_bytes(b"nothing of ours")
    cases = [
        (["train", *small, f"data.root={tmp_path / 'nowhere'}", run_dir], "list_attr_celeba.txt"),
        (["train", *small, there, "trainer.devices=99", run_dir], "trainer.devices=99: this machine has"),
        (["train", *small, there, f"run_dir={taken}"], f"The run directory {taken} exists already."),
        (["evaluate", f"checkpoint={tmp_path / 'no.ckpt'}", "data=celeba", there], "no.ckpt"),
        (["evaluate", f"checkpoint={tmp_path / 'absent'}", "data=celeba", there], "absent"),
    ]
    for arguments, message in cases:
        code, _, err = cli(*arguments)
        assert code == 2, (arguments, err)
        assert message in err and "Traceback" not in err and len(err.splitlines()) <= 3, err
    assert not (tmp_path / "run").exists() and not list(taken.iterdir()), "nothing half-written"
