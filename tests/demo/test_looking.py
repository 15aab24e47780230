"""Faces, what is said of them and their heat maps, also for several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pytest

from gender_lightning.demo.looking import PictureResult, look_at
from gender_lightning.inference.predictor import Predictor
from gender_lightning.synthetic.faces import synthetic_faces

pytest.importorskip("pytorch_grad_cam", reason="needs grad-cam")


def shown(seen: PictureResult) -> list[tuple[float, bytes | None]]:
    return [(look.prediction.probability, None if look.heat is None else look.heat.tobytes()) for look in seen.looks]


def test_threads_that_share_a_network_see_what_one_alone_sees(predictor: Predictor) -> None:
    """Hooks of two heat maps at once gave wrong maps, errors, or the end of the process (heap corruption)."""
    faces = list(synthetic_faces(6, seed=4)[0])
    alone = [shown(look_at(face, predictor)) for face in faces]
    assert any(heat is not None for _, heat in chain(*alone))
    with ThreadPoolExecutor(2) as threads:
        several = list(threads.map(lambda face: shown(look_at(face, predictor)), faces * 3))
        plain = threads.submit(predictor.predict, faces, batch_size=1)  # beside heat maps: no other's hooks see it
        again = list(threads.map(lambda face: shown(look_at(face, predictor)), faces))
    assert several == alone * 3 and again == alone
    assert np.allclose([one.probability for one in plain.result()], [one[0][0] for one in alone])
