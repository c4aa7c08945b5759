"""The first moments of a child process, before it becomes the program it was started for.

Run as a script (`python -I -S guard.py PARENT SIGNAL UID GID program argument…`; UID and GID are -1 for "stay"): gives up root's
identity, asks the kernel for SIGNAL when the parent dies, looks whether the parent is already dead, and executes the program.

A script of its own because the order matters and nothing else does it: the kernel forgets a parent-death signal when a process
changes its user, so it is asked for after that; and `subprocess`'s `preexec_fn` would run Python between fork and exec of a
process with threads, which may deadlock. Imports the standard library alone, and little of it.
"""

import ctypes  # imported before the identity changes: the new user may not be able to read Python's own library
import os
import sys

_PR_SET_PDEATHSIG = 1
_COMMAND_NOT_FOUND = 127


def _die_with_parent(parent: int, signal_number: int) -> None:
    """Ask for `signal_number` when the parent dies (Linux, prctl(2)); leave at once when it is dead already."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    if os.getppid() != parent:
        sys.exit("The process that started this one is gone.")


def main(arguments: list[str]) -> None:
    """Become the program; on failure say why on standard error and exit with 127."""
    parent, signal_number, user, group = (int(value) for value in arguments[:4])
    program = arguments[4:]
    if user >= 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    _die_with_parent(parent, signal_number)
    try:
        os.execvp(program[0], program)  # noqa: S606 - this is what the script is for
    except OSError as error:
        sys.stderr.write(f"Cannot execute {program[0]}: {error.strerror}\n")
        sys.exit(_COMMAND_NOT_FOUND)


if __name__ == "__main__":
    main(sys.argv[1:])
