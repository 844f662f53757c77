"""Makes the calls of POSIX.md, one a line of stdin, each in a fresh state, and prints what each of them answers.

`docs` has the message 1 and the written name `name`, `.draft` is a draft, `other` is an empty pool.
"""

import ctypes
import errno
import fcntl
import io
import os
import select
import socket
import sys
from mmap import MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap  # noqa: F401
from os import *  # noqa: F403

LIBC = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE = 1, 2
LONGEST, TOO_LONG = "n" * 255, "n" * 256
PATH_TOO_LONG = "docs/" + "./" * 2100 + "1"
NOT_UTF8 = b"\xff\xfe"
fds = []


def fd(path, flags=os.O_RDONLY):
    fds.append(os.open(path, flags, 0o644))
    return fds[-1]


def outside(flags=os.O_RDWR):
    fds.append(os.open("/tmp", os.O_TMPFILE | flags, 0o600))
    return fds[-1]


def tube():
    fds.extend(os.pipe())
    return fds[-1]


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def rename2(old, new, flags):
    return checked(LIBC.renameat2(-100, old.encode(), -100, new.encode(), flags))


def fallocate(descriptor, mode):
    arguments = (ctypes.c_int(descriptor), ctypes.c_int(mode))
    return checked(LIBC.fallocate(*arguments, ctypes.c_long(0), ctypes.c_long(4096)))


def bind(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def fill():
    for pool in ("docs", "other"):
        if not os.path.isdir(pool):
            os.mkdir(pool)
    with io.open("docs/name", "w") as name:
        name.write('{"a":1}\n')
    with io.open("docs/.draft", "w") as draft:
        draft.write('{"a":1}\n')


def clear():
    while fds:
        try:
            os.close(fds.pop())
        except OSError:
            pass
    for pool in os.listdir(b"."):
        os.rmdir(pool)


def answer(call):
    fill()
    try:
        eval(call)
        return "ok"
    except OSError as error:
        # Linux has one number for this and for ENOTSUP.
        known = {errno.EOPNOTSUPP: "EOPNOTSUPP"}
        return known.get(error.errno) or errno.errorcode[error.errno]
    finally:
        clear()


clear()
for line in sys.stdin:
    print(answer(line.rstrip("\n")), flush=True)
