"""A PostgreSQL server of the tests' own, from Debian's package `postgresql`; on a socket, so that no port is taken."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGED = "/usr/lib/postgresql"


class Server:
    """A server in a folder, which belongs to the user `postgres` where the tests run as root: it refuses root."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres"
            account = pwd.getpwnam(self.user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        self.run("initdb", "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")

    def run(self, program: str, *arguments: str) -> None:
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        command = [str(self.programs / program), *arguments]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as output:  # a pipe would wait for the server
            subprocess.run(command, check=True, cwd=self.folder, env=environment, user=self.user, stdout=output,
                           stderr=output, stdin=subprocess.DEVNULL)  # fmt: skip

    def start(self) -> None:
        self.run("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-o", f"-k {self.folder} -F -h ''")

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-m", "immediate", "-D", str(self.folder / "data"))

    def database(self, name: str) -> str:
        """Make one; its URL."""
        self.run("createdb", "-h", str(self.folder), "-U", "tester", name)
        return f"postgresql+psycopg://tester@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    found = shutil.which("initdb")
    versions = sorted(Path(PACKAGED).glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found is None and not versions:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))  # not pytest's, which is closed to other users
    try:
        server = Server(versions[-1].parent if versions else Path(str(found)).parent, folder)
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)


@pytest.fixture
def postgres_url(postgres: Server, request: pytest.FixtureRequest) -> str:
    """An empty database."""
    return postgres.database(f"test{abs(hash(request.node.nodeid))}")
