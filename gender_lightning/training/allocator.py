"""Sets up the heap of glibc for training, whose steps need the same gigabytes again and again."""

from __future__ import annotations

import ctypes
import functools
import os
import sys

# From glibc's malloc.h and Linux's mman.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1  # the largest size: 2**31 - 1 would still give 2 GB at the end of the heap back after each step
_MADV_HUGEPAGE = 14
_HUGE_PAGE = 2 << 20


@functools.cache
def tune_heap(*, huge_pages: bool = True) -> bool:
    """Keep freed blocks in the heap, in huge pages. Returns True if there is a glibc that does so.

    By default every activation above 32 MB is a mapping of its own, whose pages the kernel zeroes again in each step:
    400,000 pages for a ResNet50 at 224 px and batch 32. With the blocks kept in the heap there are 12,000, and the
    process is no larger. Where Linux gives huge pages only on request, as most distributions have it, the heap asks for
    them: with pages of 4 KB a step spends a good part of its time on looking up their addresses, most of all in a
    virtual machine (`gender_lightning.benchmarks.heap` measures what both give).

    Args:
        huge_pages: Whether to ask for huge pages.
    """
    if not sys.platform.startswith("linux"):
        return False
    import resource  # Windows has none

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # another C library
        return False
    kept = bool(libc.mallopt(_MMAP_MAX, 0)) and bool(libc.mallopt(_TRIM_THRESHOLD, _NEVER))
    if kept and huge_pages and resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        _ask_for_huge_pages(libc, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return kept


def _ask_for_huge_pages(libc: ctypes.CDLL, size: int) -> None:
    """Let the heap grow by `size` bytes of addresses, which take no memory before they are used, in huge pages."""
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    block = libc.malloc(size)
    if block is None:  # Linux promises no more than there is: the heap goes on in small pages
        return
    first = -(-block // _HUGE_PAGE) * _HUGE_PAGE
    libc.madvise(first, block + size - first, _MADV_HUGEPAGE)  # an error means a kernel without huge pages
    libc.free(block)
