"""Errors that are meant for the user: one line with the value and the remedy, no traceback."""

import difflib
import html
import re
import sys
from collections.abc import Iterable
from traceback import walk_tb
from typing import ClassVar

COLOUR_CODES = re.compile(r"\x1b\[[\d;]*m")


class Told:
    """Beside Exception: an error whose message is all that its reader needs.

    IPython shows such a one in a line. The traceback can be unfolded in JupyterLab; `%tb` gives it
    anywhere. In a notebook that is executed for a report nothing is short.
    """

    folded: ClassVar[bool] = True  # whether there is a traceback to unfold

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows of this error."""
        return _told(self, self.folded)


def tell_value_errors() -> None:
    """From now on this notebook shows the ValueErrors that labkit raises in a line as well.

    Those of `labkit.handcalc`, for instance, which knows of no other module. Nothing outside
    IPython, nor in a notebook that is executed for a report.
    """
    from labkit import progress

    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and not progress.is_relayed():
        shell.set_custom_exc((ValueError,), _show)


def _show(shell, kind, error, traceback, tb_offset=None) -> None:
    *_, (innermost, _) = walk_tb(traceback)
    if isinstance(error, Told) or not innermost.f_globals["__name__"].startswith("labkit."):
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
    else:
        sys.last_type, sys.last_value, sys.last_traceback = kind, error, traceback  # for %tb
        shell._showtraceback(kind, error, _told(error))


def _told(error: BaseException, folded: bool = True) -> list[str]:
    from labkit import progress

    shell = sys.modules["IPython"].get_ipython()
    traceback = shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__)
    # asked a second time, by %tb, it is the traceback that is wanted
    if hasattr(error, "_was_told") or progress.is_relayed():
        return traceback
    error._was_told = True
    line = f"\x1b[31m{type(error).__name__}\x1b[0m: {error}"
    if not progress.in_notebook():
        return [line, "%tb shows the traceback"]
    if folded:
        text = html.escape(COLOUR_CODES.sub("", shell.InteractiveTB.stb2text(traceback)))
        body = f"<details><summary>traceback</summary><pre>{text}</pre></details>"
        progress.Shown().show(body, "")
    return [line]


class LabkitError(Told, Exception):
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
