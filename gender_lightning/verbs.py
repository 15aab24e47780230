"""The registry of commands, with everything that is known about each verb.

A new command is an entry here, a schema in `config/commands.py`, `conf/<verb>.yaml` and a module in `commands/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gender_lightning.config.base import Section

RUN = "runs/train/2026-01-31_12-00-00"


@dataclass(frozen=True)
class Command:
    """A verb of the command line.

    Attributes:
        verb: The verb as typed; `conf/<verb>.yaml` is composed for it.
        purpose: Its line in the list of commands.
        examples: Command lines without the program's name, the simplest first; each with a few words or none.
        schema_name: The class in `gender_lightning.config` that its configuration is checked against.
        notes: Paragraphs at the end of its help.
        actions: Its sub-verbs with a line each, if it has any.
        data_of_run: Whether its data section starts as that of the checkpoint's run.
        swept: Whether `-m` runs it with every combination of values.
    """

    verb: str
    purpose: str
    examples: tuple[tuple[str, str], ...]
    schema_name: str
    notes: tuple[str, ...] = ()
    actions: Mapping[str, str] = field(default_factory=dict)
    data_of_run: bool = False
    swept: bool = False

    @property
    def example(self) -> str:
        """The simplest command line."""
        return self.examples[0][0]

    @property
    def module(self) -> str:
        """The module with its `main(values)` or `main(values, action)`."""
        return f"gender_lightning.commands.{self.verb.replace('-', '_')}"

    @property
    def schema(self) -> type[Section]:
        """The typed schema; pydantic is imported here, not where commands are merely listed."""
        from gender_lightning import config

        schema: type[Section] = getattr(config, self.schema_name)
        return schema


_COMMANDS = (
    Command(
        "train",
        "fit a classifier, test the best checkpoint once",
        (
            ("train model=vgg19 trainer.devices=2", ""),
            ("train experiment=celeba_mini data.root=data/celeba", "a whole recipe"),
            (f"train resume={RUN}", "continue an interrupted run"),
            ("train -m model=resnet18,resnet50 seed=1,2", "every combination"),
            ("train -m search=resnet50 search.n_trials=40", "a search; the same command continues it"),
            ("train --config-dir mine experiment=my_recipe", "from mine/experiment/my_recipe.yaml"),
        ),
        "TrainConfig",
        notes=(
            "An interval(1e-4,1e-2) as a value makes a search too. hydra.sweeper.workers=4 runs four jobs at a time.",
            "Fields that only some choices have are added with a plus sign: +optimizer.amsgrad=true.",
        ),
        swept=True,
    ),
    Command(
        "evaluate",
        "predictions and metrics of a checkpoint on any data set",
        (
            (f"evaluate checkpoint={RUN} split=test", ""),
            (f"evaluate checkpoint={RUN} corruptions=full", "all five severities, all images"),
            ("evaluate checkpoint=best.ckpt data=folder data.root=photos output=results", "other data"),
        ),
        "EvaluateConfig",
        notes=("Without data=..., the data are those of the run. The framing always belongs to the checkpoint.",),
        data_of_run=True,
    ),
    Command(
        "refit",
        "a new last layer for a trained run: for its worst group, or for your own cameras",
        (
            (f"refit checkpoint={RUN} groups=[Wearing_Lipstick]", ""),
            (f"refit checkpoint={RUN} data=folder data.root=photos", "200 labelled pictures of your own"),
            (f"refit checkpoint={RUN} method=thresholds", "what a threshold alone would do"),
        ),
        "RefitConfig",
        notes=(
            "Fits on the valid split of the run's own data, or on half of other data, and reports on test, which no "
            "choice sees. The framing always belongs to the checkpoint.",
        ),
        data_of_run=True,
    ),
    Command(
        "export",
        "a checkpoint as one ONNX, .pt2 or .safetensors file, compared with PyTorch",
        (
            (f"export checkpoint={RUN} format=onnx", ""),
            (f"export checkpoint={RUN} quantize=int8", "8-bit weights and activations"),
            (f"export checkpoint={RUN} format=safetensors", "for this program, without a pickle"),
        ),
        "ExportConfig",
        notes=(
            "Input: images, uint8 [batch, 3, height, width], RGB, any height and width. Output: probability, float32 "
            "[batch], calibrated, of class male.",
            "Framing, resizing, normalisation, test-time views and temperature are part of the graph; classes, "
            "threshold, version and model card are its metadata.",
        ),
        data_of_run=True,
    ),
    Command(
        "push",
        "a checkpoint with its measured model card to the Hugging Face hub",
        (
            (f"push checkpoint={RUN} to=hf://me/faces", "private, unless private=false"),
            (f"push checkpoint={RUN} output=folder", "look at the files first"),
        ),
        "PushConfig",
        notes=(
            "Needs `hf auth login` or HF_TOKEN, and an evaluation of the run: its measured values, with intervals, are "
            "the card. All files go up in one commit.",
            "Weights that have learned from CelebA, directly or through the weights that they started from, are pushed "
            "with i_may_publish=true only: CelebA may be used for non-commercial research only.",
        ),
    ),
    Command(
        "population",
        "how many men and women a crowd has, without a row per person",
        (
            (f"population checkpoint={RUN} input=photos/ by=folder", ""),
            (f"population checkpoint={RUN} input=hall.mp4 by=time window=60", "per minute of a video"),
        ),
        "PopulationConfig",
        notes=(
            "The share of men is corrected for the model's confusion, which is estimated from labelled faces, and the "
            "interval allows for the uncertainty of that estimate. Both are valid if the crowd differs from those "
            "faces only in its share of men; if the scores suggest otherwise, a sentence says so. A face counts each "
            "time it is seen. No picture, box or row per face is kept.",
        ),
    ),
    Command(
        "predict",
        "labels for photos, folders, lists and videos: finds the faces, marks uncertain ones",
        (
            (f"predict checkpoint={RUN} input=photos", ""),
            (f"predict checkpoint={RUN} 'input=photos/*.jpg' output=faces.parquet", ""),
            (f"predict checkpoint={RUN} input=camera annotate=true", "Ctrl-C ends it"),
            (f"predict checkpoint={RUN} input=photos engine=ray ray.address=auto ray.workers=8", ""),
        ),
        "PredictConfig",
    ),
    Command(
        "demo",
        "a page on this computer: upload pictures, see the predictions and where the network looked",
        ((f"demo checkpoint={RUN}", ""),),
        "DemoConfig",
        notes=(
            "The page is for this computer alone (127.0.0.1). It requests nothing from the internet, and a picture is "
            "discarded once it has been analysed. Ctrl-C ends it.",
        ),
    ),
    Command(
        "serve",
        "answers other programs over HTTP: labels for the pictures that they send",
        (
            (f"serve checkpoint={RUN}", "for this computer alone"),
            (f"serve checkpoint={RUN} host=0.0.0.0 token_file=token.txt", "for others, who must know the token"),
        ),
        "ServeConfig",
        notes=(
            "POST /predict takes pictures as a multipart form or as JSON; GET /health, /metrics (Prometheus) and "
            "/openapi.json tell about the service. Pictures stay in memory, and are neither kept nor logged.",
            "Ctrl-C or SIGTERM ends it: requests that have arrived are answered first.",
        ),
    ),
    Command(
        "compare",
        "which of several runs is better, by how much, and whether that is more than chance",
        (
            ("compare runs=[runs/train/A,runs/train/B]", ""),
            ("compare runs=runs/deck_clean/2026-01-31_12-00-00", "all runs of a sweep"),
            ("compare 'runs=runs/train/2026-01-*'", "a glob, in quotes"),
            ("compare runs=[runs/train/A,theirs.csv]", "beside the answers of any other tool, or of people"),
        ),
        "CompareConfig",
        notes=("Runs that differ only in the seed form one row: mean, standard deviation and n.",),
    ),
    Command(
        "wandb-sweep",
        "a search as a file for W&B's own sweeps and agents",
        (("wandb-sweep search=resnet50 output=sweep.yaml", ""),),
        "WandbSweepConfig",
        notes=(
            "The fields are those of train, and what is given here is given to every run. W&B has no conditional "
            "ranges and one objective; what that leaves out is said, and stands at the top of the file.",
        ),
    ),
    Command(
        "benchmark",
        "how fast this machine loads, augments and trains, compared with the common way",
        (
            ("benchmark data.image_size=112 models=[resnet18,resnet50]", ""),
            ("benchmark stages=[loader,step] common=false", ""),
        ),
        "BenchmarkConfig",
        notes=("Nothing else should run on the machine at the same time.",),
    ),
    Command(
        "data",
        "prepare, verify, summarise or audit a data set",
        (
            ("data summary data=celeba data.root=data/celeba", ""),
            ("data prepare data.root=data/celeba download=true", ""),
            ("data audit data.root=data/celeba folds=5 output=audit", "what is doubtful in it"),
            ("data audit fail_on={contradictions:0.01,unreadable:0}", "exit code 1 where there is more"),
            ("data review audit=audit", "a page on which people judge the doubtful labels"),
        ),
        "DataCommandConfig",
        actions={
            "prepare": "lists what is there, what is missing and where to get it; compares MD5 sums",
            "verify": "decodes every image and lists the unreadable ones",
            "summary": "shows counts per split and class, identities, sizes, and a contact sheet",
            "audit": "contradictions, duplicates, poor pictures, suspect labels, small cells: audit.html, audit.json",
            "review": "a page on which people judge the doubtful labels: corrections.csv, the rate of wrong labels",
            "cache clear": "removes the decoded pictures that data.cache=DIR has kept",
        },
    ),
)
COMMANDS: Mapping[str, Command] = {command.verb: command for command in _COMMANDS}
