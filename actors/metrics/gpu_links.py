"""The NVLinks of a GPU: the library's own functions, since each link is four questions, and a GPU may have 18 links.

The types are the vendor's; the signatures are those of the public header nvml.h.
"""

import ctypes
from typing import Any

from .gpu_fast import function_of
from .gpu_queries import Figures, Pace, Query

LINKS_MAX = 36
LINK_ERRORS = (0, 1, 2)
"""Replay, recovery, CRC: the counters of an NVLink that mean trouble."""
INVALID, UNSUPPORTED = 2, 3
"""NVML_ERROR_INVALID_ARGUMENT: there is no such link. NVML_ERROR_NOT_SUPPORTED: it has no such counter."""


def links_query(nvml: Any) -> Query:
    """How many links are up and their errors, for all GPUs and one thread; the library is started."""
    state_of = function_of(nvml.nvmlLib, "nvmlDeviceGetNvLinkState")
    errors_of = function_of(nvml.nvmlLib, "nvmlDeviceGetNvLinkErrorCounter")
    links, kinds = tuple(map(ctypes.c_uint, range(LINKS_MAX))), tuple(map(ctypes.c_int, LINK_ERRORS))
    state, count = ctypes.c_uint(), ctypes.c_ulonglong()
    to_state, to_count = ctypes.byref(state), ctypes.byref(count)

    def ask(nvml: Any, handle: Any) -> Figures:
        """Links until the first that the GPU does not have; without one there is no figure."""
        up = errors = there = 0
        for link in links:
            code = state_of(handle, link, to_state)
            if code == INVALID:
                break
            if code:
                raise nvml.NVMLError(code)
            there += 1
            if state.value:
                up += 1
                errors += errors_on(nvml, handle, link)
        return {"nvlinks_up": up, "nvlink_errors": errors} if there else {}

    def errors_on(nvml: Any, handle: Any, link: Any) -> int:
        """All that the link counted; 0 where it does not count all."""
        total = 0
        for kind in kinds:
            code = errors_of(handle, link, kind, to_count)
            if code in {INVALID, UNSUPPORTED}:
                return 0
            if code:
                raise nvml.NVMLError(code)
            total += count.value
        return total

    return Query("nvlinks", Pace.SLOW, ask)
