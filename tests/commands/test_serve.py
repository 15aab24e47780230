"""`gender-lightning serve` before its first request: what it is given, and what it says."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any

import pytest

from gender_lightning.commands import serve
from gender_lightning.config import ServeConfig, parse_config
from gender_lightning.errors import UserError
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.overrides import compose

TOKEN = "0123456789abcdef"


def config(**fields: Any) -> ServeConfig:
    return parse_config(ServeConfig, compose("serve", ["checkpoint=a.ckpt"]) | fields)


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("box", False)]
)
def test_only_this_computer_by_default(host: str, local: bool) -> None:
    assert config().is_local
    assert config(host=host).is_local is local


def test_others_are_warned_of() -> None:
    assert "anybody may ask it" in serve._warning("0.0.0.0", None)
    assert "anybody" not in serve._warning("0.0.0.0", TOKEN)


def test_the_token_is_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(serve.TOKEN, raising=False)
    assert serve.read_token(None) is None
    monkeypatch.setenv(serve.TOKEN, TOKEN)
    assert serve.read_token(None) == TOKEN
    (tmp_path / "token").write_text(f"{TOKEN[::-1]}\n")
    assert serve.read_token(str(tmp_path / "token")) == TOKEN[::-1]


@pytest.mark.parametrize("content", [b"", b"short", b"two words of which\n", b"\xff\xfe" * 10, "é".encode() * 16])
def test_a_token_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    for file in (tmp_path / "token", tmp_path / "missing"):
        with pytest.raises(UserError) as caught:
            serve.read_token(str(file))
        assert caught.value.field == "token_file" and caught.value.remedy


def test_an_address_that_cannot_be_used_is_said() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UserError, match="cannot be used: Address") as it,
    ):
        serve.listen("127.0.0.1", taken.getsockname()[1])
    assert it.value.field == "port"
    with pytest.raises(UserError, match="host="):
        serve.listen("192.0.2.1", 0)  # not an address of any computer
    with serve.listen("127.0.0.1", 0) as listener:
        assert serve._address("127.0.0.1", listener.getsockname()[1]).startswith("http://127.0.0.1:")
    assert serve._address("::1", 80) == "http://[::1]:80"


def test_the_fingerprint_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    assert CheckpointSet.of(tmp_path / "a").digest() == hashlib.sha256(b"weights").hexdigest()
