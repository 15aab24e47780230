"""A small server that speaks the API of the Hugging Face hub, for its own client: repositories, commits, LFS, files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

TOKEN = "hf_" + "w" * 34  # of the user `me`, who may write in `me/`


@dataclass
class Repository:
    """Commits, newest last, as all of their files; and what may be named beside a commit."""

    private: bool = True
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add files to those of the newest commit."""
        files = {**(self.commits[-1][1] if self.commits else {}), **files}
        sha = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits.append((sha, files))
        return sha

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a revision means."""
        if revision == "main":
            return self.commits[-1]
        wanted = self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit[0] == wanted), None)


@dataclass
class Hub:
    """What the server holds, how it is asked to fail, and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS's, by SHA-256
    announced: dict[str, int] = field(default_factory=dict)  # sizes that are said instead of the true ones
    headers: dict[str, str] = field(default_factory=dict)  # that are said instead of the true ones
    failing: dict[str, int] = field(default_factory=dict)  # status by a part of the path; 0 hangs up
    requests: list[str] = field(default_factory=list)

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Put files into a repository, without the client. Returns the commit."""
        return self.repositories.setdefault(name, Repository(private)).commit(files)

    def files(self, name: str) -> dict[str, bytes]:
        """The files of the newest commit; empty where there is none."""
        repository = self.repositories.get(name)
        return repository.commits[-1][1] if repository and repository.commits else {}


def faults_of_card(header: Any) -> list[str]:
    """What the hub's documentation of a card's header does not allow; the hub's own rules are not public."""
    if not isinstance(header, dict):
        return ["no metadata"]
    faults = [f"{key} is missing" for key in ("license",) if not header.get(key)]
    if header.get("license") == "other" and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", header.get("license_name") or ""):
        faults.append("license_name is missing or is no identifier")
    for key in ("tags", "metrics"):
        if not all(isinstance(item, str) for item in header.get(key, [])):
            faults.append(f"{key} are no texts")
    for model in header.get("model-index", []):
        if not isinstance(model.get("name"), str) or not model["name"]:
            faults.append("a model has no name")
        for result in model["results"]:
            told = [result["task"].get("type"), result["dataset"].get("name"), result["dataset"].get("type")]
            told += [metric.get("type") for metric in result["metrics"]]
            if not all(isinstance(value, str) and value for value in told):
                faults.append("a task, data set or metric has no type or name")
            if not re.fullmatch(r"(?:[\w-]+/)?[\w.-]+", str(result["dataset"].get("type"))):
                faults.append("dataset.type is no identifier")
            if not all(type(metric.get("value")) in (int, float) for metric in result["metrics"]):
                faults.append("a value is no number")
    return faults


class Handler(BaseHTTPRequestHandler):
    """One request; the names of its parts are those of the hub's API."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def answer(self, status: int, content: Any = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        said = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.send_response(status)
        for name, value in said.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str = "") -> None:
        self.answer(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    @property
    def user(self) -> str | None:
        return "me" if self.headers.get("Authorization") == f"Bearer {TOKEN}" else None

    def handle_request(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {path}")
        for part, status in self.hub.failing.items():
            if part in path:
                if status:
                    self.answer(status, {"error": "on purpose"})
                self.close_connection = True
                return
        if self.headers.get("Authorization") and not self.user:
            self.refuse(401, "", "Invalid credentials in Authorization header")
            return
        for pattern, method in (
            (r"/", self.root),
            (r"/api/validate-yaml", self.validate),
            (r"/api/repos/create", self.create),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self.info),
            (r"/api/models/([^/]+/[^/]+)/preupload/main", self.preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/main", self.commit),
            (r"/([^/]+/[^/]+).git/info/lfs/objects/batch", self.batch),
            (r"/upload/(\w+)", self.upload),
            (r"/content/(\w+)", self.content),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.resolve),
        ):
            if found := re.fullmatch(pattern, path):
                method(body, *found.groups())
                return
        self.answer(404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815  the names are http.server's

    def repository(self, name: str) -> Repository | None:
        """The repository, if the user may see it; otherwise the request has been answered."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and self.user != name.split("/")[0]):
            self.refuse(401 if self.user is None else 404, "RepoNotFound", "Repository not found")
            return None
        return found

    def root(self, body: bytes) -> None:
        self.answer(200)

    def validate(self, body: bytes) -> None:
        header = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
        faults = faults_of_card(yaml.safe_load(header[1]) if header else None)
        self.answer(400 if faults else 200, {"errors": [{"message": fault} for fault in faults], "warnings": []})

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        owner = asked.get("organization") or self.user
        if self.user is None or owner != self.user:
            self.refuse(403 if self.user else 401, "", f"You have no rights in {owner}")
            return
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.hub.add(f"{owner}/{asked['name']}", {".gitattributes": b""}, private=private)
        self.answer(200, {"url": f"{self.hub.url}/{owner}/{asked['name']}"})

    def info(self, body: bytes, name: str, revision: str | None) -> None:
        if found := self.repository(name):
            commit = found.at(revision or "main")
            if commit is None:
                self.refuse(404, "RevisionNotFound")
                return
            siblings = [{"rfilename": file} for file in commit[1]]
            self.answer(200, {"id": name, "private": found.private, "sha": commit[0], "siblings": siblings})

    def preupload(self, body: bytes, name: str) -> None:
        if self.repository(name):
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})

    def batch(self, body: bytes, name: str) -> None:
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.hub.url}/upload/{item['oid']}"}}}
            for item in json.loads(body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.objects[oid] = body
        self.answer(200)

    def commit(self, body: bytes, name: str) -> None:
        found = self.repository(name)
        if found is None:
            return
        if self.user != name.split("/")[0]:
            self.refuse(403, "", "Forbidden")
            return
        files: dict[str, bytes] = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        sha = found.commit(files)
        self.answer(200, {"commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "hookOutput": ""})

    def resolve(self, body: bytes, name: str, revision: str, file: str) -> None:
        found = self.repository(name)
        if found is None:
            return
        commit = found.at(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound")
        elif file not in commit[1]:
            self.refuse(404, "EntryNotFound")
        else:
            content = commit[1][file]
            oid, size = hashlib.sha256(content).hexdigest(), self.hub.announced.get(file, len(commit[1][file]))
            told = {"X_Repo_Commit": commit[0], "ETag": f'"{oid}"', "X_Linked_Size": str(size)} | self.hub.headers
            if file.endswith(".safetensors"):  # as for LFS: on another host, where the token has no business
                self.hub.objects[oid] = content
                other = self.hub.url.replace("127.0.0.1", "localhost")
                self.answer(302, Location=f"{other}/content/{oid}?Signature=secret", X_Linked_ETag=f'"{oid}"', **told)
            else:
                self.answer(200, content, **told)

    def content(self, body: bytes, oid: str) -> None:
        assert "Authorization" not in self.headers
        self.answer(200, self.hub.objects[oid])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server, an empty cache, and the client of this process turned to both; nobody is logged in."""
    from huggingface_hub import constants, file_download

    state = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    # read from the environment when the client was imported
    monkeypatch.setattr(constants, "ENDPOINT", state.url)
    for module in (constants, file_download):  # older clients have it in both
        address = state.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", address, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)  # has a server of its own
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield state
    server.shutdown()
    server.server_close()
