"""Networks with sizes and batches, limits of batches, weights of others: each works, or is refused in a sentence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from fuzz_harness import Case, Rng
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gender_lightning.commands.steps.preparation import _check_limits
from gender_lightning.config.location import conf_dir
from gender_lightning.errors import UserError, UserErrors
from gender_lightning.models.backbones import create_backbone, forward_train
from gender_lightning.models.checkpoints.transfer import CONTAINERS, load_pretrained, read_weights
from gender_lightning.models.probe import check_network

TINY = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_byobnet")
SMALL = (  # a pass of these takes a fraction of a second
    "mobilenetv3_small_050", "regnetx_002", "ghostnet_050", "lcnet_050", "mobilevit_xxs", "edgenext_xx_small",
    "levit_128s", "gcvit_xxtiny", "xcit_nano_12_p16_224", "vit_tiny_patch16_224", "pit_ti_224", "repvgg_a0",
)  # fmt: skip
LARGE = (
    "tresnet_m", "coatnet_pico_rw_224", "hiera_tiny_224", "hrnet_w18_small", "halonet26t", "bat_resnext26ts",
    "botnet26t_256", "crossvit_9_240", "efficientformer_l1", "mvitv2_tiny", "csatv2", "volo_d1_224",
    "swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224", "mixer_s16_224",
)  # fmt: skip
SIZES = (16, 17, 24, 32, 48, 50, 64, 96, 100, 112, 128, 160, 192, 224, 250, 256)
PREFIXES = ("module.", "_orig_mod.", "net.", "model.", "backbone.", "encoder.", "student.", "ema_model.", "resnet.")
MOST_PIXELS = 112  # side up to which the CPU's own pass is the oracle


def cases(rng: Rng, share: float, folder: Path) -> Iterator[Case]:
    """About 1,200 cases at a share of 1; a share below a half has the smallest networks and images alone."""
    whole = share >= 0.5
    tried = [f"timm/{name}" for name in (*TINY, *(SMALL + LARGE if whole else ()))]
    tried += _menu() if whole else []
    cheap = {f"timm/{name}" for name in TINY + SMALL}
    sizes = SIZES if whole else [size for size in SIZES if size <= MOST_PIXELS]
    for _ in range(round((60 if whole else 250) * share)):
        name, size, batch = str(rng.choice(tried)), int(rng.choice(sizes)), int(rng.integers(1, 4))
        oracle = name in cheap and size <= MOST_PIXELS
        yield Case("network, size and batch", partial(_network, name, size, batch, oracle))
    for _ in range(round(350 * share)):
        counts = [int(rng.integers(1, 40)) for _ in range(2)]
        limits = [round(float(10 ** rng.uniform(-2, 0)), 3) for _ in range(2)]
        yield Case("limits of batches", partial(_limits, counts, limits))
    yield from _weights(rng, round(800 * share), folder)


def _menu() -> list[str]:
    files = sorted((conf_dir() / "model").glob("[!_]*.yaml"))
    return [yaml.safe_load(file.read_text())["name"] for file in files]


def _network(name: str, size: int, batch: int, oracle: bool) -> None:
    try:
        check_network(name, size, batch_size=batch)
    except UserError:
        assert not (oracle and _trains(name, size, batch)), f"{name} trains on {batch} images of {size}"
        raise
    assert not oracle or _trains(name, size, batch), f"{name} does not train on {batch} images of {size}"


def _trains(name: str, size: int, batch: int) -> bool:
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            net = create_backbone(name, image_size=size).train()
            return forward_train(net, torch.rand(batch, 3, size, size))[0].shape == (batch,)
    except (RuntimeError, ValueError, AssertionError, LookupError, TypeError):
        return False


class _Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        return None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _limits(counts: list[int], limits: list[float]) -> None:
    """Lightning's own loops are the oracle: what we let pass, they take."""
    train, valid = counts
    trainer = {"limit_train_batches": limits[0], "limit_val_batches": limits[1]}
    sizes = {"train": train, "valid": valid, "test": 0}
    config: Any = SimpleNamespace(
        trainer=SimpleNamespace(**trainer, limit_test_batches=1.0, fast_dev_run=False),
        data=SimpleNamespace(batch_size=1),
        test=False,
    )
    data: Any = SimpleNamespace(index=lambda split: range(sizes[split]), evaluation_batch_size=1)
    if mistakes := list(_check_limits(config, data, ranks=1)):
        raise UserErrors(mistakes)
    loaders = [DataLoader(torch.zeros(count, 1)) for count in counts]  # type: ignore[arg-type]
    pl.Trainer(
        **trainer, accelerator="cpu", max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    ).fit(_Module(), *loaders)  # fmt: skip


def _weights(rng: Rng, count: int, folder: Path) -> Iterator[Case]:
    torch.manual_seed(3)
    state = create_backbone("timm/test_resnet", image_size=32).state_dict()
    donor = {name: torch.rand_like(value.float()) for name, value in state.items()}
    for _ in range(count):
        prefix = "".join(rng.choice(PREFIXES, rng.integers(0, 4)))
        named = {prefix + name: value for name, value in donor.items() if rng.random() > 0.002}
        named |= {f"{rng.choice(PREFIXES)}{rng.choice(['fc', 'loss', 'head'])}.weight": torch.ones(3, 7)}
        container = str(rng.choice(["", *CONTAINERS]))
        content = {container: named, "epoch": 3} if container else named
        yield Case("weights of others", partial(_load, donor, named, prefix, content, folder / "weights.pt"))


def _load(donor: dict[str, Tensor], named: dict[str, Tensor], prefix: str, content: Any, path: Path) -> None:
    torch.save(content, path)
    net = create_backbone("timm/test_resnet", image_size=32)
    load_pretrained(net, read_weights(path), source=str(path))
    for name, value in net.state_dict().items():
        if prefix + name in named and not name.startswith("fc."):
            assert torch.equal(value, donor[name].to(value.dtype)), name
