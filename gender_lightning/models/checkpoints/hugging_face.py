"""The Hugging Face hub: names of repositories, fetching of files into its cache, and its errors in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gender_lightning.errors import UserError, printable
from gender_lightning.models.checkpoints.files import PUBLISHED, PUBLISHED_CONFIG, SAFETENSORS
from gender_lightning.models.checkpoints.remote import Fetched, is_inside, refuse_size
from gender_lightning.models.checkpoints.weights import hub_offline_if_unreachable

_NAME = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w-][\w.-]*))?(?:/(?P<file>.+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[\w-]{1,128}", re.ASCII)  # becomes the name of a file in the cache
LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN."

_RETRY = "Try again later; HF_HUB_OFFLINE=1 uses what is in the cache."


@dataclass(frozen=True)
class HubName:
    """The name of a repository on the hub, or of a file in it.

    Attributes:
        repo: `user/name`.
        revision: Branch, tag or commit; None: the main branch.
        file: Path in the repository; None: model.safetensors.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Parse what stands after `hf://`.

        Raises:
            UserError: It is not such a name, or its file leads out of the repository.
        """
        found = _NAME.fullmatch(text.rstrip("/"))
        if found is None or not is_inside(found["file"] or PUBLISHED):
            raise UserError(
                f"hf://{printable(text)[:200]} is not the name of a checkpoint on the Hugging Face hub.",
                "Write hf://user/name, hf://user/name@revision or hf://user/name@revision/file.",
            )
        return cls(**found.groupdict())

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repo}{revision}" + (f"/{self.file}" if self.file else "")


def fetch_from_hub(text: str) -> Fetched:
    """Fetch the file that `hf://<text>` names, with the config.json beside it; see `remote.fetch`."""
    from huggingface_hub import errors, try_to_load_from_cache

    name = HubName.parse(text)
    file = name.file or PUBLISHED
    if name.revision and _COMMIT.fullmatch(name.revision):  # what it means never changes
        cached = try_to_load_from_cache(name.repo, file, revision=name.revision)
        if isinstance(cached, str):
            return _fetched(name, Path(cached))
    with explaining(name), hub_offline_if_unreachable():
        path = _download(name, file)
        if file.endswith(SAFETENSORS):
            folder, slash, _ = file.rpartition("/")
            with suppress(errors.EntryNotFoundError):
                _download(name, f"{folder}{slash}{PUBLISHED_CONFIG}")
    return _fetched(name, path)


def _fetched(name: HubName, path: Path) -> Fetched:
    file = name.file or PUBLISHED
    commit = path.parts[-1 - len(file.split("/"))]  # snapshots/<commit>/<file>
    return Fetched(path, str(HubName(name.repo, commit, file)))


def _download(name: HubName, file: str) -> Path:
    """Download a file into the hub's cache, after a look at what the server says of it."""
    import huggingface_hub
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        url = huggingface_hub.hf_hub_url(name.repo, file, revision=name.revision)
        head = huggingface_hub.get_hf_file_metadata(url)
        refuse_size(f"{file} in hf://{name.repo}", head.size)
        if not _COMMIT.fullmatch(head.commit_hash or "") or not _ETAG.fullmatch(head.etag or ""):
            raise UserError(
                f"{constants.ENDPOINT} does not answer as the Hugging Face hub does.", "Check HF_ENDPOINT and proxies."
            )
    offline = bool(constants.HF_HUB_OFFLINE)  # said again, since older clients note it once per session
    return Path(huggingface_hub.hf_hub_download(name.repo, file, revision=name.revision, local_files_only=offline))


@contextmanager
def explaining(name: HubName, retry: str = _RETRY) -> Iterator[None]:
    """Turn what the hub's client raises into one sentence, which holds neither a token nor an address with a signature.

    Args:
        name: The repository or file that the client was asked for.
        retry: What to do if the hub fails or cannot be reached half-way.
    """
    from huggingface_hub import errors

    # the errors of its transport (httpx, formerly requests) have a base that its own errors name
    transport = [base for base in errors.HfHubHTTPError.__mro__ if base.__name__ == "HTTPError"]
    failures: tuple[type[BaseException], ...] = (OSError, ValueError, RuntimeError, *transport)
    try:
        yield
    except UserError:
        raise
    except failures as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) else None  # a broken upload is one about its cause
        raise _explained(cause or error, name, retry) from error


def _explained(error: BaseException, name: HubName, retry: str) -> UserError:
    from huggingface_hub import constants, errors

    where, repo = constants.ENDPOINT, f"hf://{name.repo}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return UserError(
            f"{where} cannot be reached, or HF_HUB_OFFLINE is set.", "Connect to the network and unset HF_HUB_OFFLINE."
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        return UserError(
            f"{name} is not in the cache ({constants.HF_HUB_CACHE}), and {where} cannot be reached.",
            "Connect to the network once (and unset HF_HUB_OFFLINE), or name a file of this machine.",
        )
    if isinstance(error, errors.GatedRepoError):
        return UserError(
            f"{repo} is open only to those who have accepted its conditions.",
            f"Accept them on {where}/{name.repo}. {LOG_IN}",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(
            f"There is no repository {name.repo} at {where}, or it is private and you may not see it.",
            f"Check the name. {LOG_IN}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(f"{repo} has no revision {name.revision}.", "Name a branch, a tag or a commit that it has.")
    if isinstance(error, errors.EntryNotFoundError):
        return UserError(
            f"{repo} has no file {name.file or PUBLISHED}{f' at {name.revision}' if name.revision else ''}.",
            f"Name one that it has: {HubName(name.repo, name.revision)}/FILE.",
        )
    if isinstance(error, errors.HFValidationError):
        return UserError(f"{name.repo} is not a name that the hub allows.", "Write hf://user/name.")
    if status == 401:
        return UserError(f"{where} does not accept your token.", LOG_IN)
    if status == 403:
        return UserError(
            f"Your token does not permit this in {repo}.", "Use a token with the permission: `hf auth login`."
        )
    return UserError(f"{where} failed ({_reason(error, status)}).", retry)


def _reason(error: BaseException, status: int | None) -> str:
    """A few words: never the client's own text, in which signed addresses stand."""
    if status is not None:
        said = getattr(error, "server_message", None)
        return f"status {status}" + (f": {printable(str(said))[:200]}" if said else "")
    if isinstance(error, ValueError):
        return printable(" ".join(str(error).split()))[:200]
    return getattr(error, "strerror", None) or type(error).__name__
