"""What programs ask the page for, through Gradio's own client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gender_lightning.data.framing import Framing
from gender_lightning.inference.predictor import Predictor
from gender_lightning.synthetic.faces import synthetic_faces

gradio = pytest.importorskip("gradio", reason="needs the extra `demo`")
gradio_client = pytest.importorskip("gradio_client", reason="needs the extra `demo`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number, face in enumerate(synthetic_faces(6, seed=8)[0]):
        Image.fromarray(face).save(folder / f"face{number}.png")
    (folder / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def client(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from gender_lightning.demo.page import build

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        page = build(predictor, "# A card", [], 60)
        _, address, _ = page.queue(max_size=32).launch(
            server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, ssr_mode=False, _frontend=False
        )
        try:
            yield gradio_client.Client(address, verbose=False)
        finally:
            page.close(verbose=False)


def ask(client: Any, what: Any, name: str) -> Any:
    given = [gradio_client.handle_file(path) for path in what] if isinstance(what, list) else what
    return client.predict(gradio_client.handle_file(what) if isinstance(what, Path) else given, api_name=name)


def test_a_picture_gets_what_the_predictor_says(client: Any, predictor: Predictor, folder: Path) -> None:
    answer = ask(client, folder / "face0.png", "/predict")
    expected = predictor.predict(folder / "face0.png")
    (face,) = answer.pop("faces")
    assert answer == {"file": "face0.png", "left_out": 0, "notes": []}
    assert face.pop("box") == vars(expected.box)
    assert face == {"label": expected.label, "probability": pytest.approx(expected.probability),
                    "status": "crop", "note": "", "disagreement": None}  # fmt: skip
    with pytest.raises(gradio_client.exceptions.AppError, match=r"^text\.jpg does not decode"):
        ask(client, folder / "text.jpg", "/predict")


def test_many_pictures_are_counted(client: Any, predictor: Predictor, folder: Path) -> None:
    paths = sorted(folder.iterdir())
    answer = ask(client, paths, "/predict_many")
    labels = [prediction.label for prediction in predictor.predict(paths[:6])]
    assert answer["counts"] == {name: labels.count(name) for name in ("female", "male", "uncertain")}
    assert answer["counted"] == "Counted: 6 faces in 6 of 7 pictures."
    assert answer["not_counted"] == ["1 picture unreadable (text.jpg)"]
    assert [row["label"] for row in answer["rows"]] == [*labels, "unreadable"]
    assert answer["rows"][6]["probability"] is None
    with pytest.raises(gradio_client.exceptions.AppError, match="Give 1 to 500"):
        ask(client, [], "/predict_many")


def test_only_what_was_uploaded_is_read_or_removed(client: Any, folder: Path, tmp_path: Path) -> None:
    import httpx

    private = tmp_path / "private.png"
    private.write_bytes((folder / "face0.png").read_bytes())
    given = {"path": str(private), "meta": {"_type": "gradio.FileData"}}
    event = httpx.post(f"{client.src}gradio_api/call/predict", json={"data": [given]}).json()["event_id"]
    assert "event: error" in httpx.get(f"{client.src}gradio_api/call/predict/{event}", timeout=30).text
    assert private.exists()


def test_all_that_uses_the_network_waits_in_one_line(client: Any, folder: Path, predictor: Predictor) -> None:
    functions = [function for function in client.config["dependencies"] if function["queue"] is not False]
    from gender_lightning.demo.page import build

    page = build(predictor, "", list(synthetic_faces(2, seed=1)[0]), 60)
    queued = [function for function in page.fns.values() if function.queue is not False]
    assert len(queued) == 6 and len(functions) == 4  # an upload, a batch, two drawn faces, two endpoints
    assert {(function.concurrency_id, function.concurrency_limit) for function in queued} == {("network", 1)}
    paths = [folder / f"face{number}.png" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda path: ask(client, path, "/predict"), paths))
    expected = [prediction.probability for prediction in predictor.predict(paths)]
    assert [answer["faces"][0]["probability"] for answer in answers] == pytest.approx(expected)


def test_the_instructions_on_the_page_run(client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gender_lightning.demo.api import usage
    from gender_lightning.models.checkpoints.checkpoint import ModelSpec

    text = usage(client.src, ModelSpec("resnet18", Framing(32)), 500, 60)
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(folder)
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        Image.open("face0.png").save(name)
    answers: list[Any] = []
    lines = code.replace("client.predict(", "answers.append(client.predict(").replace('/predict")', '/predict"))')
    exec(lines.replace('/predict_many")', '/predict_many"))'), {"answers": answers})
    assert answers[0]["file"] == "photo.jpg" and answers[1]["counted"] == "Counted: 2 faces in 2 of 2 pictures."
    documented = set(re.findall(r"`(\w+)`", text))
    keys = {*answers[0], *answers[0]["faces"][0], *answers[0]["faces"][0]["box"], *answers[1], *answers[1]["rows"][0]}
    assert keys <= documented
