"""Errors that are meant for the user: one line with the value and the remedy, no traceback."""

import difflib
from collections.abc import Iterable


class LabkitError(Exception):
    """Something failed that the message tells how to mend; the command line prints it and ends."""

    exit_status = 1


class UsageError(LabkitError):
    """What was asked for cannot be run as asked."""

    exit_status = 2


def nearest(name: str, known: Iterable[str]) -> str:
    """What a message says behind an unknown name: the one that was probably meant, or all.

    >>> nearest("cifar", ["cifar10", "digits"]), nearest("x", ["cifar10", "digits"])
    ("did you mean 'cifar10'?", 'there are cifar10, digits')
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
