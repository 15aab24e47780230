"""What a checkpoint remembers of valid, and what is said of other faces."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.inference.abstention import closing_text, least_confidence, on_valid
from gender_lightning.inference.domain import Domain, FaceTotals, answers_of, domain_of
from gender_lightning.inference.predictor import load
from gender_lightning.inference.stream.local import Classifier, FaceBatch
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network, load_network, save_weights, update_spec
from gender_lightning.models.checkpoints.memory import read_valid
from gender_lightning.models.features import observed
from gender_lightning.models.heads import main_head

SPEC = ModelSpec("timm/test_resnet", Framing(32), temperature=0.5, test_time_flip=True)
CPU = Hardware("cpu", 1, "32-true", False, False)


def _faces(seed: int, number: int, *, dark: bool = False) -> torch.Tensor:
    """Patches whose colour tells the class, uint8 (N, 3, 32, 32)."""
    random = np.random.default_rng(seed)
    male = np.arange(number) % 2
    level = np.where(male, 170, 90)[:, None, None, None] + np.array([0, 10, -10])[:, None, None]
    small = level + random.normal(0, 30, (number, 3, 4, 4))
    pixels = np.kron(np.clip(small / (3 if dark else 1), 0, 255), np.ones((8, 8)))
    return torch.from_numpy(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(create_backbone("timm/test_resnet", image_size=32), SPEC).eval()


@pytest.fixture(scope="module")
def domain(network: Network) -> Domain:
    pixels = _faces(1, 400)
    with torch.inference_mode(), observed(network.net) as seen:
        logits = network(pixels).numpy().astype(np.float64)
        features = seen.take().numpy()
    # the labels are what such a network can tell, with errors
    centred = logits - np.median(logits)
    labels = ((centred > 0) ^ (np.random.default_rng(2).random(400) < 0.05)).astype(np.int64)
    found = Domain.of(
        labels, logits, np.arange(400), np.arange(400), features, temperature=SPEC.temperature, threshold=0.5
    )
    assert found is not None
    return found


@pytest.fixture(scope="module")
def remembering(network: Network, domain: Domain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alone") / "best.ckpt"
    save_weights(path, network.net.state_dict(), SPEC)
    assert domain_of(path) is None
    update_spec(path, domain.to_dict(), threshold=0.5)
    return path


def _seen(network: Network, domain: Domain, pixels: torch.Tensor) -> FaceTotals:
    classifier = Classifier(network, CPU, 0.6, 16, domain)
    with torch.inference_mode():
        classifier.answers(pixels)
    classifier.seen.take(0, len(pixels))
    return classifier.seen


def test_features_are_what_the_head_gets(network: Network) -> None:
    pixels = _faces(4, 6)
    with torch.inference_mode():
        with observed(network.net) as seen:
            logits = network(pixels)
            features = seen.take()
        head = main_head(network.net)
        assert torch.allclose(features @ head.weight[0] + head.bias, logits, atol=1e-5)  # also of both mirror images
        assert not head._forward_pre_hooks
        network.net.compile(backend="eager")
        with observed(network.net) as seen:
            network(pixels)
            assert torch.allclose(seen.take(), features, atol=1e-5)
        network.net._compiled_call_impl = None


def test_a_network_that_has_burst_is_remembered_without_a_warning() -> None:
    """A learning rate too high leaves logits of thousands, whose exponential overflows."""
    random = np.random.default_rng(6)
    logits, features = random.normal(0, 5000, 300), random.normal(size=(300, 12)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Domain.of(
            np.arange(300) % 2, logits, np.arange(300), np.arange(300), features, temperature=0.5, threshold=0.5
        )
    assert found is not None


def test_axes_are_the_principal_ones_of_both_classes_together(network: Network, domain: Domain) -> None:
    from sklearn.decomposition import PCA

    random = np.random.default_rng(5)
    labels = np.arange(300) % 2
    features = random.normal(size=(300, 12)) * np.linspace(6, 1, 12) + 50 * labels[:, None]
    found = Domain.of(
        labels, random.normal(size=300), np.arange(300), np.arange(300), features.astype(np.float32),
        temperature=1.0, threshold=0.5,
    )  # fmt: skip
    assert found is not None
    within = features - np.stack([features[labels == one].mean(axis=0) for one in (0, 1)])[labels]
    oracle = PCA(8).fit(within)
    ours = found.axes / np.linalg.norm(found.axes, axis=0)
    assert np.abs(np.abs((ours * oracle.components_.T).sum(axis=0)) - 1).max() < 0.02
    assert found.moments.faces[:, 3:-1, 3:-1].diagonal(axis1=1, axis2=2) == pytest.approx(np.ones((2, 8)), abs=0.35)


def test_a_checkpoint_remembers_to_the_digit(remembering: Path, domain: Domain) -> None:
    again = domain_of(remembering)
    assert again is not None and again.cuts == domain.cuts
    assert np.allclose(again.moments.faces, domain.moments.faces) and np.allclose(again.axes, domain.axes, rtol=1e-5)
    assert again.knee.min_confidence == domain.knee.min_confidence
    assert load_network(remembering).spec == replace(SPEC, threshold=0.5)
    content = domain.to_dict()
    damaged: list[dict[str, Any]] = [
        {}, content | {"means": content["means"][:1]}, content | {"axes": torch.full_like(content["axes"], torch.nan)},
        content | {"knee": ["x"]}, content | {"cuts": 3}, content | {"number": torch.zeros(2)},
        content | {"centre": "none"}, content | {"temperature": 0.0},
    ]  # fmt: skip
    assert [Domain.from_dict(one) for one in damaged] == [None] * len(damaged)


def test_faces_alike_raise_no_alarm_and_dark_ones_do(network: Network, domain: Domain) -> None:
    alike = domain.compare(_seen(network, domain, _faces(7, 300)))
    assert alike is not None and not alike.alarm and alike.text == "" and alike.p > 0.01
    men = domain.compare(_seen(network, domain, _faces(8, 300)[1::2]))  # another share of men is no other kind
    assert men is not None and not men.alarm
    dark = domain.compare(_seen(network, domain, _faces(9, 60, dark=True)))
    assert dark is not None and dark.alarm and "features" in dark.parts
    assert "another kind than the run's valid split" in dark.text and "p < 0.001" in dark.text
    assert domain.compare(_seen(network, domain, _faces(9, 29, dark=True))) is None  # too few to say anything


def test_probabilities_are_the_same_with_and_without_a_memory(network: Network, domain: Domain) -> None:
    with torch.inference_mode():
        plain, nothing = answers_of(network, _faces(3, 5), None)
        same, described = answers_of(network, _faces(3, 5), domain)
    told = [[answer.probability for answer in answers] for answers in (plain, same)]
    assert told[0] == pytest.approx(told[1], abs=1e-6) and nothing is None
    assert described is not None and described.shape == (5, domain.moments.means.shape[1])


def test_a_checkpoint_alone_abstains_as_its_run_does(remembering: Path, domain: Domain, tmp_path: Path) -> None:
    assert least_confidence(remembering, SPEC, "auto") == domain.knee.min_confidence
    for target, (least, coverage) in domain.cuts.items():
        assert least_confidence(remembering, SPEC, target_accuracy=target) == least
        known = on_valid(remembering, SPEC, least)
        assert known is not None and known.coverage == pytest.approx(coverage, abs=0.02)
    assert least_confidence(remembering, SPEC) == domain.cuts.get(0.99, (0.0,))[0]
    forgetful = tmp_path / "best.ckpt"
    save_weights(forgetful, load_network(remembering).net.state_dict(), SPEC)
    assert not read_valid(forgetful) and least_confidence(forgetful, SPEC) == 0
    with pytest.raises(UserError, match="min_confidence=auto needs"):
        least_confidence(forgetful, SPEC, "auto")


def test_the_closing_sentences(network: Network, domain: Domain) -> None:
    seen = _seen(network, domain, _faces(9, 60, dark=True))
    text = closing_text(seen, 0.6, None, domain)
    assert text.startswith("0% of the faces were given a label, the others are uncertain.") and "another kind" in text
    assert closing_text(seen, 0.0, None, None) == "" and closing_text(FaceTotals(), 0.6, None, domain) == ""
    batch = FaceBatch(_faces(9, 40), [])
    assert Classifier(network, CPU, 0.6, 16, None)(batch) == []


def test_a_predictor_warns_once_of_another_kind(remembering: Path) -> None:
    model = load(remembering, device="cpu", faces="none", min_confidence=0.0)
    faces = list(_faces(9, 60, dark=True).permute(0, 2, 3, 1).numpy())
    with pytest.warns(UserWarning, match="another kind") as told:
        model.predict(faces)
    assert len([one for one in told if "another kind" in str(one.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(faces)
    assert model.seen.faces == 120 and "another kind" in model.closing
