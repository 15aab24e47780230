"""What clients get over HTTP, in this process."""

from __future__ import annotations

import base64
import io
import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gender_lightning.data.framing import Framing
from gender_lightning.inference.predictor import Prediction, Predictor, load
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, save_weights

pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytest.importorskip("prometheus_client", reason="needs the extra `serve`")
from fastapi.testclient import TestClient

from gender_lightning.serving.app import create_app
from gender_lightning.serving.receiving import Limits
from gender_lightning.serving.service import Service

LIMITS = Limits(max_bytes=200_000, max_pixels=1_000_000, max_images=4, max_queue=2, max_rate=None, timeout=20)
TOKEN = "a-token-of-some-length"


@contextmanager
def serving(predictor: Any, limits: Limits = LIMITS, token: str | None = None, **batches: Any) -> Iterator[TestClient]:
    with TestClient(create_app(Service(predictor, "f" * 64, limits, **batches), token)) as client:
        yield client


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with serving(predictor) as client:
        yield client


def picture(seed: int = 1, size: tuple[int, int] = (89, 109), kind: str = "JPEG") -> bytes:
    small = np.random.default_rng(seed).integers(40, 220, (6, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size).save(file, kind)
    return file.getvalue()


def form(*pictures: bytes) -> dict[str, Any]:
    return {"files": [("image", (f"{number}.jpg", data)) for number, data in enumerate(pictures)]}


def in_json(*pictures: bytes) -> dict[str, Any]:
    return {"json": {"images": [{"data": base64.b64encode(data).decode()} for data in pictures]}}


def faces_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [picture["faces"][0] for picture in answer["pictures"]]


@pytest.mark.parametrize("send", [form, in_json])
def test_answers_are_those_of_the_predictor(send: Any, client: TestClient, predictor: Predictor) -> None:
    pictures = [picture(1), picture(2, kind="PNG"), picture(3, kind="WEBP")]
    response = client.post("/predict", **send(*pictures))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["model"] == {
        "fingerprint": "f" * 64, "backbone": "timm/test_resnet", "classes": ["female", "male"], "threshold": 0.5,
        "min_confidence": 0.51, "max_disagreement": None, "version": predictor.spec.package_version,
    }  # fmt: skip
    expected: list[Prediction] = predictor.predict(pictures)
    for face, prediction in zip(faces_of(answer), expected, strict=True):
        assert face.pop("probability") == pytest.approx(prediction.probability, abs=1e-6)
        told = {
            "label": prediction.label,
            "box": vars(prediction.box),
            "status": "crop",
            "note": "",
            "disagreement": None,
        }
        assert face == told


def test_a_doubtful_face_is_uncertain(checkpoint: Path) -> None:
    from gender_lightning.inference.predictor import load

    with serving(load(checkpoint, device="cpu", faces="none", min_confidence=1.0)) as client:
        (face,) = faces_of(client.post("/predict", **form(picture())).json())
    assert face["label"] == "uncertain" and 0 < face["probability"] < 1


def test_one_bad_picture_leaves_the_others_their_answers(client: TestClient) -> None:
    bad = [b"", b"no picture", picture()[:500]]
    response = client.post("/predict", **form(picture(), *bad))
    pictures = response.json()["pictures"]
    assert response.status_code == 200
    assert [picture["status"] for picture in pictures] == ["ok", "unreadable", "unreadable", "unreadable"]
    assert [picture["name"] for picture in pictures] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert pictures[1]["note"].startswith("1.jpg is empty") and "2.jpg does not decode" in pictures[2]["note"]
    assert not any("gender-lightning" in picture["note"] for picture in pictures)  # a client has no command line
    response = client.post("/predict", **in_json(*bad))
    assert response.status_code == 422 and all(
        picture["note"] and not picture["faces"] for picture in response.json()["pictures"]
    )


def test_a_picture_without_a_face_says_so(checkpoint: Path) -> None:
    from gender_lightning.inference.predictor import load

    predictor = load(checkpoint, device="cpu", faces="detect")
    with serving(predictor) as client:
        (answer,) = client.post("/predict", **form(picture(size=(64, 64)))).json()["pictures"]
    assert answer == {"name": "0.jpg", "status": "no_face", "note": "", "faces": []}


@pytest.mark.filterwarnings("ignore:Image size")
def test_a_bomb_is_refused_by_its_header(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    assert len(file.getvalue()) < LIMITS.max_bytes
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    response = client.post("/predict", **form(file.getvalue()))
    assert response.status_code == 422
    (answer,) = response.json()["pictures"]
    assert answer["note"] == "0.jpg has 10000 x 10000 pixels, which is more than 1 million. Make it smaller."


TEXT = {"content-type": "text/plain"}
WRONG = [
    (400, {"files": {}, "data": {"image": "text"}, "headers": {"content-type": "multipart/form-data; boundary=x"}}),
    (400, {"content": b"junk", "headers": {"content-type": "multipart/form-data"}}),
    (400, {"content": b"--x\r\n\r\njunk", "headers": {"content-type": "multipart/form-data; boundary=x"}}),
    (400, {"content": b"--x--", "headers": {"content-type": "multipart/form-data; boundary=x"}}),
    (400, {"files": [("image", ("a.jpg", b"a"))], "data": {"colour": "red"}}),
    (400, {"content": b"{", "headers": {"content-type": "application/json"}}),
    (400, {"content": b"\xff\xfe", "headers": {"content-type": "application/json"}}),
    (400, {"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}),
    (400, {"json": {"images": []}}),
    (400, {"json": {"images": [{"data": "not Base64!"}]}}),
    (400, {"json": {"images": [{"data": "\u00e9" * 4}]}}),
    (400, {"json": {"images": [{"data": "", "name": "x" * 300}]}}),
    (400, {"json": {"images": [{"data": "", "secret": 1}]}}),
    (415, {"content": picture(), "headers": {"content-type": "image/jpeg"}}),
    (415, {"content": picture(), "headers": TEXT}),
    (415, {}),
    (413, form(*[b"a"] * 5)),
    (413, in_json(*[b"a"] * 5)),
    (413, form(b"a" * 200_001)),
    (413, {"content": (b" " * 50_000 for _ in range(5)), "headers": {"content-type": "application/json"}}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "request_"), WRONG)
def test_wrong_requests_are_refused_with_a_reason(client: TestClient, status: int, request_: Any) -> None:
    response = client.post("/predict", **request_)
    assert response.status_code == status, response.text
    detail = response.json()["detail"]
    assert detail.endswith(".") and len(detail) < 400
    assert client.get("/health").json()["status"] == "ok"


def test_pictures_stay_in_memory(predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        pytest.fail("a temporary file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # what a spooled file rolls over to
    data = np.random.default_rng(1).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(data).save(file, "PNG")
    assert len(file.getvalue()) > 2**20  # where Starlette's own limit is
    limits = Limits(max_rate=None)
    with caplog.at_level("DEBUG"), serving(predictor, limits) as client:
        assert client.post("/predict", **form(file.getvalue())).status_code == 200
    assert not [record for record in caplog.records if record.name.startswith("gender_lightning")]


def test_a_client_that_asks_too_often_is_told_when_to_return(predictor: Predictor) -> None:
    with serving(predictor, Limits(max_rate=0.5)) as client:
        assert client.post("/predict", **form(picture())).status_code == 200
        response = client.post("/predict", **form(picture()))
        assert client.get("/health").status_code == 200
    assert response.status_code == 429 and response.headers["retry-after"] in ("1", "2")


class Slow:
    """A predictor that waits until it is told to go on."""

    def __init__(self, predictor: Predictor) -> None:
        self.spec, self.min_confidence, self.max_disagreement = predictor.spec, 0.0, None
        self.predictor = predictor
        self.busy, self.go = threading.Event(), threading.Event()

    def predict_faces(self, pictures: Sequence[Any], **options: Any) -> Any:
        self.busy.set()
        assert self.go.wait(20)
        return self.predictor.predict_faces(pictures, **options)


def test_a_full_queue_is_said_and_what_is_in_hand_is_finished(predictor: Predictor) -> None:
    slow = Slow(predictor)
    answers: list[int] = []
    with serving(slow, max_batch=1) as client:
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/predict", **form(picture())).status_code))
            for _ in range(LIMITS.max_queue)
        ]
        for thread in threads:
            thread.start()
        assert slow.busy.wait(20)
        while client.app.state.service._in_hand < LIMITS.max_queue:  # type: ignore[attr-defined]
            pass
        response = client.post("/predict", **form(picture()))
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        slow.go.set()
        for thread in threads:
            thread.join(20)
        assert answers == [200, 200]
        assert client.post("/predict", **form(picture())).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(predictor: Predictor) -> None:
    slow = Slow(predictor)
    with serving(slow, Limits(timeout=0.2)) as client:
        response = client.post("/predict", **form(picture()))
        slow.go.set()
        assert response.status_code == 504 and "0.2 s" in response.json()["detail"]


def test_a_stopped_service_sends_clients_away(predictor: Predictor) -> None:
    with serving(predictor) as client:
        client.app.state.service.batcher.close()  # type: ignore[attr-defined]
        response = client.post("/predict", **form(picture()))
        assert response.status_code == 503 and "retry-after" in response.headers
        assert client.get("/health").status_code == 503 and client.get("/health").json()["status"] == "stopping"


def test_a_token_is_asked_for_by_everything_but_health(predictor: Predictor) -> None:
    with serving(predictor, token=TOKEN) as client:
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": TOKEN},
            {"authorization": b"Bearer \xe9"},
        ):
            assert client.post("/predict", **form(picture()), headers=headers).status_code == 401
            assert client.get("/metrics", headers=headers).status_code == 401
            assert client.get("/openapi.json", headers=headers).status_code == 401
        assert client.get("/health").status_code == 200
        right = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("/predict", **form(picture()), headers=right).status_code == 200
        assert client.get("/metrics", headers=right).status_code == 200


def test_the_numbers_are_those_of_the_requests(predictor: Predictor) -> None:
    from prometheus_client.parser import text_string_to_metric_families as parse

    with serving(predictor) as client:
        client.post("/predict", **form(picture(1), picture(2), b"x"))
        client.post("/predict", **form(b"x"))
        client.post("/predict")
        text = client.get("/metrics").text
    numbers = {
        (sample.name, *sample.labels.values()): sample.value for family in parse(text) for sample in family.samples
    }
    prefix = "gender_lightning_"
    assert {status: numbers[prefix + "requests_total", status] for status in ("200", "422", "415")} == {
        "200": 1, "422": 1, "415": 1
    }  # fmt: skip
    assert numbers[prefix + "pictures_total", "ok"] == 2 and numbers[prefix + "pictures_total", "unreadable"] == 2
    assert sum(value for (name, *_), value in numbers.items() if name == prefix + "faces_total") == 2
    assert numbers[(prefix + "batch_pictures_sum",)] == 4 and numbers[(prefix + "waiting_pictures",)] == 0
    assert numbers[(prefix + "request_seconds_count",)] == 3


def test_the_description_is_complete(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/health", "/metrics"}
    operation = described["paths"]["/predict"]["post"]
    assert set(operation["requestBody"]["content"]) == {"multipart/form-data", "application/json"}
    assert {"200", "400", "401", "408", "413", "415", "422", "429", "503", "504"} == set(operation["responses"])
    text = json.dumps(described)
    references = [part.split('"')[0] for part in text.split('"$ref": "')[1:]]
    assert references
    for reference in references:
        node = described
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    for page in ("/docs", "/redoc", "/"):
        assert client.get(page).status_code == 404


def test_several_checkpoints_answer_with_their_mean_and_their_disagreement(checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = create_backbone("timm/test_resnet", image_size=48)
    save_weights(tmp_path / "other.ckpt", net.state_dict(), ModelSpec("timm/test_resnet", Framing(48)))
    several = [checkpoint, tmp_path / "other.ckpt"]
    mean = load(several, device="cpu", faces="none", min_confidence=0)
    expected = mean.predict(Image.open(io.BytesIO(picture())))
    with serving(mean) as client:
        answer = client.post("/predict", **form(picture())).json()
    face = answer["pictures"][0]["faces"][0]
    assert face["probability"] == pytest.approx(expected.probability, abs=1e-6) and face["label"] != "uncertain"
    assert face["disagreement"] == pytest.approx(expected.disagreement, abs=1e-6) and face["disagreement"] > 0
    strict = load(several, device="cpu", faces="none", min_confidence=0, max_disagreement=0)
    with serving(strict) as client:
        answer = client.post("/predict", **form(picture())).json()
    assert answer["pictures"][0]["faces"][0]["label"] == "uncertain" and answer["model"]["max_disagreement"] == 0
