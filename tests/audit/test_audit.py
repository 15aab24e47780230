"""`data audit` on drawn faces with planted faults: each is found, by its id, and nothing else."""

from __future__ import annotations

import json
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from gender_lightning import load
from gender_lightning.commands.data import data
from gender_lightning.config import DataCommandConfig, parse_config
from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights
from gender_lightning.overrides import compose
from gender_lightning.synthetic.faces import synthetic_faces

FACES = 20


def config(*typed: str) -> DataCommandConfig:
    return parse_config(DataCommandConfig, compose("data", list(typed)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    pixels, labels = synthetic_faces(FACES, seed=3)[:2]
    for number, (face, label) in enumerate(zip(pixels, labels, strict=True)):
        path = root / ("train", "valid", "test")[number % 3] / ("female", "male")[int(label)] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(path)
    first = Image.fromarray(pixels[0])
    other = ("male", "female")[int(labels[0])]
    for split in ("train", "valid", "test"):
        for name in ("female", "male"):
            (root / split / name).mkdir(parents=True, exist_ok=True)
    first.save(root / "train" / other / "copy.png", compress_level=1)  # other bytes, the same pixels
    first.resize((90, 110)).save(root / "test" / ("female", "male")[int(labels[0])] / "near.jpg", quality=50)
    (root / "valid" / "male" / "broken.png").write_bytes(path_of(root, "01").read_bytes()[:300])
    (root / "test" / "female" / "<b>text.png").write_bytes(b"<script>alert(1)</script>")
    plain = {
        "grey": Image.fromarray(pixels[1]).convert("L"),
        "dark": Image.fromarray((pixels[2] * 0.1).astype(np.uint8)),
        "tiny": Image.fromarray(pixels[4]).resize((30, 36), Image.Resampling.LANCZOS),
        "blurred": Image.fromarray(pixels[5]).filter(ImageFilter.GaussianBlur(9)),
    }
    for name, picture in plain.items():  # other pictures than the drawn ones: mirrored copies are not duplicates
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "train" / "female" / f"{name}.png")
    return root


def path_of(root: Path, name: str) -> Path:
    return next(root.rglob(f"{name}.png"))


def audited(folder: Path, output: Path, *typed: str) -> dict[str, Any]:
    data("audit", config("data=folder", f"data.root={folder}", f"output={output}", *typed))
    content: dict[str, Any] = json.loads((output / "audit.json").read_text())
    return content


def ids(found: dict[str, Any]) -> set[str]:
    return {Path(row["image_id"]).stem for row in found["rows"]}


def test_planted_faults_are_found(folder: Path, tmp_path: Path) -> None:
    found = audited(folder, tmp_path)["findings"]
    assert ids(found["unreadable"]) == {"broken", "<b>text"}
    for kind in ("grey", "dark", "tiny", "blurred"):
        assert ids(found[kind]) == {kind}, found[kind]
    groups = {kind: [sorted(Path(name).stem for name in row["images"]) for row in found[kind]["rows"]] for kind in found
              if "duplicates" in kind}  # fmt: skip
    whole = ["00", "copy", "near"]
    assert groups == {
        "duplicates_with_other_label": [whole], "duplicates_across_splits": [whole],
        "exact_duplicates": [["00", "copy"]], "near_duplicates": [whole],
    }  # fmt: skip
    page = (tmp_path / "audit.html").read_text()
    assert str(folder) not in page
    assert "<script>alert" not in page and "&lt;b&gt;text.png" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_nothing_is_said_of_persons_that_could_not_be_found_twice(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for place in [
        f"{split}/{name}/anna{n}" for split in ("train", "test") for name in ("female", "male") for n in range(5)
    ]:
        (tmp_path / "faces" / place).mkdir(parents=True)
        picture = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        picture.save(tmp_path / "faces" / place / "1.png")
    told = audited(tmp_path / "faces", tmp_path)
    assert told["persons"] == 20 and not {"contradictions", "persons_across_splits"} & told["findings"].keys()
    assert any("in several splits could not be seen" in text for text in told["left_out"])


def test_a_limit_that_is_crossed_is_exit_code_1_after_everything_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        audited(folder, tmp_path, "fail_on={unreadable:1,grey:0.5}")
    assert ended.value.code == 1 and (tmp_path / "audit.json").is_file()
    assert "unreadable: 2 of 28 pictures" in (tmp_path / "audit.html").read_text()
    audited(folder, tmp_path, "fail_on={unreadable:2,grey:0.5}")
    with pytest.raises(SystemExit):  # nobody knows the persons here: a limit on them is not known to hold
        audited(folder, tmp_path, "fail_on={contradictions:0}")
    with pytest.raises(UserError, match="Did you mean 'unreadable'"):
        audited(folder, tmp_path / "never", "fail_on={unreadabel:0}")
    assert not (tmp_path / "never").exists()


def test_a_killed_audit_continues_and_sees_what_has_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gender_lightning.audit import measuring

    root = shutil.copytree(folder, tmp_path / "faces")
    decoded: list[str] = []

    def killed(data: bytes, *, path: str) -> Any:
        decoded.append(path)
        if len(decoded) > 20:
            raise KeyboardInterrupt
        return _decode(data, path=path)

    with monkeypatch.context() as slow:
        slow.setattr(measuring, "_SAVE_SECONDS", -1.0)
        slow.setattr(measuring, "_CHUNK", 4)
        slow.setattr(measuring, "decode", killed)
        with pytest.raises(KeyboardInterrupt):
            audited(root, tmp_path / "out")
    kept = set(np.load(tmp_path / "out" / "pictures.npy")["digest"].tolist()) - {b""}
    pictures = [path for path in root.rglob("*.*") if path.is_file()]
    rest = [path for path in pictures if blake2b(path.read_bytes(), digest_size=16).digest().rstrip(b"\0") not in kept]
    assert 0 < len(rest) < len(pictures) == 28
    decoded.clear()
    monkeypatch.setattr(measuring, "decode", lambda data, path: decoded.append(path) or _decode(data, path=path))
    first = audited(root, tmp_path / "out")["findings"]
    assert sorted(decoded) == sorted(map(str, rest))
    decoded.clear()
    assert audited(root, tmp_path / "out")["findings"] == first and not decoded
    Image.new("L", (80, 80), 200).save(path_of(root, "grey"))
    again = audited(root, tmp_path / "out")["findings"]
    assert [Path(path).stem for path in decoded] == ["grey"] and ids(again["blurred"]) == {"blurred", "grey"}
    (tmp_path / "out" / "pictures.npy").write_bytes(b"\x93NUMPY damaged")
    assert audited(root, tmp_path / "out")["findings"] == again


def _decode(data: bytes, *, path: str) -> Any:
    from gender_lightning.data.decoding import decode

    return decode(data, path=path)


def test_a_checkpoint_judges_as_it_predicts(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = create_backbone("timm/test_resnet", image_size=32)
    checkpoints = []
    for number in range(2):
        torch.nn.init.normal_(net.get_classifier().weight, std=3.0)
        checkpoints.append(tmp_path / f"{number}.ckpt")
        spec = ModelSpec("timm/test_resnet", Framing(32), temperature=1.0 + number)
        save_weights(checkpoints[-1], net.state_dict(), spec)
    with pytest.raises(UserError, match="learned from all images"):
        audited(folder, tmp_path / "out", f"checkpoint={checkpoints[0]}", "data.sizes={train:1.0,valid:0.0,test:0.0}",
                f"data.root={flat(folder, tmp_path)}")  # fmt: skip
    found = audited(folder, tmp_path / "out", f"checkpoint=[{checkpoints[0]},{checkpoints[1]}]", "accelerator=cpu")
    rows = found["findings"]["suspects"]["rows"]
    assert rows and {row["split"] for row in rows} == {"valid", "test"}
    models = [load(checkpoint, "cpu") for checkpoint in checkpoints]
    for row in rows[:5]:
        picture = folder / row["image_id"]
        logits = [np.log(p / (1 - p)) for p in (model.predict(picture).probability for model in models)]
        male = 1 / (1 + np.exp(-np.mean(logits)))
        assert row["probability_of_label"] == pytest.approx(male if row["label"] == "male" else 1 - male, abs=2e-3)
    assert {one["image_id"] for one in found["review"]} >= {row["image_id"] for row in rows}


def test_a_checkpoint_that_is_missing_is_named_before_anything_is_measured(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        audited(folder, tmp_path / "out", f"checkpoint={tmp_path / 'nowhere'}")
    assert not (tmp_path / "out").exists()


def flat(folder: Path, tmp_path: Path) -> Path:
    """The same pictures without split folders."""
    for picture in folder.rglob("*.png"):
        target = tmp_path / "flat" / picture.parent.name / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    return tmp_path / "flat"
