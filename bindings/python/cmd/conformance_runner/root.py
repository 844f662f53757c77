"""Root that is kept out by file modes as everybody else is."""

from __future__ import annotations

import ctypes
import os

# From linux/capability.h and linux/prctl.h.
_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
_PR_CAPBSET_DROP = 24


def obey_file_modes() -> None:
    """Makes file modes count for this process and all that it starts, also when it is root.

    Another user id would do the same, but such a user may not reach the workdir, which lies wherever the manifest does.
    """
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # Effective, permitted and inheritable, of the low and of the high 32 capabilities.
    sets = (ctypes.c_uint32 * 6)()
    _check(libc.capget(header, sets))
    dropped = (1 << _DAC_OVERRIDE) | (1 << _DAC_READ_SEARCH)
    if not sets[1] & dropped:
        return
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        # What a program gets that root starts is limited by the bounding set.
        _check(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    for i in range(3):
        sets[i] &= ~dropped
    _check(libc.capset(header, sets))


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot give up root's right to ignore modes: {os.strerror(error)}")
