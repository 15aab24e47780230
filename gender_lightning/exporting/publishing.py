"""A repository of the Hugging Face hub: what is in it, and its upload as one commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gender_lightning.errors import UserError
from gender_lightning.models.checkpoints.checkpoint import Network, package_version, save_weights
from gender_lightning.models.checkpoints.files import KEY, PUBLISHED, PUBLISHED_CONFIG
from gender_lightning.models.checkpoints.hugging_face import LOG_IN, HubName, explaining
from gender_lightning.models.checkpoints.weights import hub_offline_if_unreachable
from gender_lightning.runs import write_text

README = "README.md"
LEARNED_FROM = "learned_from"  # in config.json: kinds of data, as in `data=<kind>`


@dataclass(frozen=True)
class HubUpload:
    """An upload to the hub: the page of the repository, and the commit."""

    url: str
    revision: str


def write_repository(folder: Path, network: Network, card: str, learned_from: Sequence[str]) -> None:
    """Write the files of a repository into a folder that exists.

    Args:
        folder: Where model.safetensors, config.json and README.md go.
        network: The network with its specification.
        card: The model card, with the header that the hub reads.
        learned_from: Kinds of data that the weights have learned from.

    Raises:
        UserError: They cannot be written.
    """
    spec = network.spec
    config = {
        "library_name": "gender-lightning",
        "architecture": spec.backbone,
        "id2label": dict(enumerate(spec.class_names)),
        LEARNED_FROM: list(learned_from),
        KEY: spec.to_dict(),
    }
    save_weights(folder / PUBLISHED, network.net.state_dict(), spec)
    try:
        write_text(folder / PUBLISHED_CONFIG, json.dumps(config, indent=2) + "\n")
        write_text(folder / README, card)
    except OSError as error:
        raise UserError(
            f"{folder} could not be written: {error.strerror}.", "Free space or choose another place."
        ) from error


def upload(folder: Path, repo: str, *, private: bool) -> HubUpload:
    """Upload a repository's files in one commit, so that either all of them are there or none.

    Args:
        folder: What `write_repository` wrote.
        repo: `user/name`; it is created unless it is there.
        private: Whether nobody else may see it.

    Raises:
        UserError: Nobody is logged in, there is no permission, the hub cannot be reached or refuses, or the repository
            is public already although it should be private.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, errors, get_token

    if get_token() is None:
        raise UserError("Nobody is logged in to the Hugging Face hub.", LOG_IN)
    name = HubName(repo)
    api = HfApi(library_name="gender-lightning", library_version=package_version())
    with explaining(name, "Nothing was uploaded. Try again later."), hub_offline_if_unreachable():
        try:
            there = api.repo_info(repo)
        except errors.RepositoryNotFoundError:
            there = None
        if there is None:
            api.create_repo(repo, private=private)
        elif private and not there.private:
            raise UserError(
                f"{name} is public already, and private=true does not make it private.",
                "Make it private on its page, choose another name, or add private=false.",
                field="private",
            )
        files = [CommitOperationAdd(file, folder / file) for file in (PUBLISHED, PUBLISHED_CONFIG, README)]
        commit = api.create_commit(repo, files, commit_message=f"gender-lightning push ({package_version()})")
    return HubUpload(f"{api.endpoint}/{repo}", commit.oid)
