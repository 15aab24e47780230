"""A server as it is started: hundreds of bad requests leave it alive, and its end loses no answer."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gender_lightning.inference.predictor import load

pytest.importorskip("fastapi", reason="needs the extra `serve`")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BAD = 500
BOUNDARY = "x-border-x"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
Server = tuple[subprocess.Popen[str], int]


@pytest.fixture
def server(checkpoint: Path) -> Iterator[Server]:
    """The process and its port."""
    options = ["port=0", "faces=none", "max_rate=null", "max_megabytes=1", "max_megapixels=1", "timeout=20"]
    command = [sys.executable, "-m", "gender_lightning", "serve", f"checkpoint={checkpoint}", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), line + process.stdout.read()
    yield process, int(line.split()[0].rpartition(":")[2])
    process.kill()
    process.wait(20)
    process.stdout.close()


def face(kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    small = np.random.default_rng(3).integers(40, 220, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize((89, 109)).save(file, kind)
    return file.getvalue()


def form(*pictures: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'.encode()
    return b"".join(head + data + b"\r\n" for data in pictures) + f"--{BOUNDARY}--\r\n".encode()


def post(port: int, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def raw(port: int, text: bytes, *, hang_up: bool = True) -> int:
    """Send bytes that need not be HTTP and hang up; the status, or 0 if there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(text)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        except ConnectionError:
            return 0
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def damaged(data: bytes, draw: random.Random) -> bytes:
    """A picture with bytes overwritten or cut off."""
    copy = bytearray(data)
    for _ in range(draw.randint(1, 20)):
        copy[draw.randrange(len(copy))] = draw.randrange(256)
    return bytes(copy[: draw.randint(0, len(copy))])


def bad_request(port: int, number: int) -> int:
    draw = random.Random(number)
    picture = face(draw.choice(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]))
    bomb = io.BytesIO()
    if number % 10 == 0:
        Image.new("1", (2_000, 2_000)).save(bomb, "PNG")
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
    huge = f"Content-Length: {10**15}\r\nContent-Type: {FORM['Content-Type']}\r\n\r\n".encode()
    cases: list[Callable[[], int]] = [
        lambda: post(port, form(bomb.getvalue()), FORM)[0],
        lambda: post(port, form(damaged(picture, draw)), FORM)[0],
        lambda: post(port, damaged(form(picture), draw), FORM)[0],
        lambda: post(port, form(*[b""] * 17), FORM)[0],
        lambda: post(port, draw.randbytes(2_000), {"Content-Type": "application/json"})[0],
        lambda: post(port, b'{"images": [' + b'{"data": ' * 5_000, {"Content-Type": "application/json"})[0],
        lambda: post(port, picture, {"Content-Type": "image/jpeg"})[0],
        lambda: raw(port, draw.randbytes(500)),
        lambda: raw(port, head + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"),
        lambda: raw(port, head + huge, hang_up=False),
    ]
    return cases[number % len(cases)]()


def test_hundreds_of_bad_requests_and_a_graceful_end(server: Server, checkpoint: Path) -> None:
    process, port = server
    with ThreadPoolExecutor(16) as threads:
        statuses = Counter(threads.map(lambda number: bad_request(port, number), range(BAD)))
    assert sum(statuses.values()) == BAD
    # 0: the client hung up; 200: the damage to the picture did not matter
    assert set(statuses) <= {0, 200, 400, 413, 415, 422}, statuses
    assert statuses[400] > 100 and statuses[413] > 75 and statuses[415] >= 50 and statuses[422] > 50, statuses
    expected = load(checkpoint, device="cpu", faces="none").predict(face())
    status, answer = post(port, form(face()), FORM)
    assert status == 200 and process.poll() is None
    (found,) = answer["pictures"][0]["faces"]
    assert found["probability"] == pytest.approx(expected.probability, abs=1e-5) and found["label"] == expected.label

    begun, told = threading.Barrier(9), threading.Barrier(9)

    def late(_: int) -> int:
        body = form(*[face()] * 16)
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.putrequest("POST", "/predict")
        for name, value in {**FORM, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body[:100])
        begun.wait(60)
        told.wait(60)
        connection.send(body[100:])
        return connection.getresponse().status

    with ThreadPoolExecutor(8) as threads:
        late_ones = [threads.submit(late, number) for number in range(8)]
        begun.wait(60)
        assert raw(port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", hang_up=False) == 200  # it has read the others too
        process.send_signal(signal.SIGTERM)
        told.wait(60)
        assert [future.result(60) for future in late_ones] == [200] * 8
    assert process.wait(60) == 128 + signal.SIGTERM
    assert process.stdout is not None and "Traceback" not in process.stdout.read()
