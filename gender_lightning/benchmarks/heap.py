"""The training step with the heap as glibc has it, with freed blocks kept, and kept in huge pages, on the CPU.

    python -m gender_lightning.benchmarks.heap data.image_size=64 data.batch_size=256

Each way has processes of its own, which take turns, because a heap cannot be put back. The overrides are those of
`train`. Each line of the output is a JSON object: images per second, and their ratio to those of glibc's own way.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

from gender_lightning.benchmarks.network_stages import step_rate
from gender_lightning.benchmarks.timing import Rate
from gender_lightning.config import TrainConfig, parse_config
from gender_lightning.overrides import compose
from gender_lightning.training.allocator import tune_heap
from gender_lightning.training.losses.loss import Criterion
from gender_lightning.training.trainer import hardware_of

WAYS = {"glibc": None, "kept": partial(tune_heap, huge_pages=False), "kept, huge pages": tune_heap}


def measure(way: str, overrides: Sequence[str], seconds: float) -> float:
    """Images per second of the training step in this process, whose heap is the given one from now on."""
    if (tune := WAYS[way]) is not None:
        tune()
    config = parse_config(TrainConfig, compose("train", ["trainer.accelerator=cpu", *overrides]))
    criterion = Criterion(config.loss, (1, 1))
    hardware = hardware_of(config.trainer)
    size, batch = config.data.image_size, config.data.batch_size
    return step_rate(config.model, config.optimizer, criterion, hardware, size, batch, seconds)()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of `train`, such as data.image_size=64 model=resnet18")
    parser.add_argument("--repeats", type=int, default=5, help="processes per way (default 5)")
    parser.add_argument("--seconds", type=float, default=10, help="of each process (default 10)")
    parser.add_argument("--way", choices=WAYS, help="measure one way in this process")
    chosen = parser.parse_args(arguments)
    if chosen.way:
        sys.stdout.write(f"{measure(chosen.way, chosen.overrides, chosen.seconds)}\n")
        return
    samples: dict[str, list[float]] = {way: [] for way in WAYS}
    for repeat in range(chosen.repeats):
        for way in WAYS if repeat % 2 == 0 else reversed(WAYS):
            command = [sys.executable, "-m", __spec__.name, "--way", way, "--seconds", str(chosen.seconds)]
            done = subprocess.run([*command, *chosen.overrides], stdout=subprocess.PIPE, text=True, check=True)
            samples[way].append(float(done.stdout.splitlines()[-1]))
    medians = {way: Rate(tuple(values)).median for way, values in samples.items()}
    for way, values in samples.items():
        line: dict[str, object] = {"way": way, "images_per_second": round(medians[way], 1), "n": len(values)}
        extent = [round(min(values), 1), round(max(values), 1)]
        line |= {"range": extent, "ratio": round(medians[way] / medians["glibc"], 2)}
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
