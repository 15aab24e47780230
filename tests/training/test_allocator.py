"""Freed memory stays in the process, in huge pages: the second time it is used, the kernel has nothing to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, sys, torch
from gender_lightning.training.allocator import tune_heap
if sys.argv[1] == "kept":
    assert tune_heap(huge_pages=False)
def fill():
    blocks = [torch.ones(40 << 20, dtype=torch.uint8) for _ in range(5)]
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
HUGE_PAGES = """
import ctypes, re, resource, sys
from pathlib import Path
from gender_lightning.training.allocator import tune_heap
if sys.argv[1] == "limited":
    resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
end = ctypes.CDLL(None).sbrk
end.argtypes, end.restype = [ctypes.c_ssize_t], ctypes.c_void_p
before = end(0)
assert tune_heap()
grown = end(0) - before
block = bytearray(200 << 20)
huge = re.search(r"AnonHugePages: +(\\d+) kB", Path("/proc/self/smaps_rollup").read_text())
print(grown, int(huge[1]) << 10)
"""
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")


def run(program: str, how: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.slow
def test_large_blocks_are_used_again() -> None:
    assert run(FAULTS, "kept")[0] < 0.7 * run(FAULTS, "returned")[0]


@pytest.mark.skipif(not SETTING.exists() or "[never]" in SETTING.read_text(), reason="a system without huge pages")
def test_the_heap_is_in_huge_pages_and_stays() -> None:
    grown, huge = run(HUGE_PAGES, "free")
    assert grown > 1 << 30 and huge > 150 << 20


def test_limited_addresses_are_left_to_others() -> None:
    grown, _ = run(HUGE_PAGES, "limited")
    assert grown < 1 << 30
