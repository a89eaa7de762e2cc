"""One progress bar for every long step, wherever it runs.

In a terminal it is a tqdm bar, in JupyterLab tqdm's widget. Where there is no screen the bar is
sent to the process that has one, whose `Relay` draws it: from a notebook that `labkit report`
executes (so that nothing of it ends up among the notebook's outputs), and from the worker of a
cluster. Where the output is no terminal (CI, a log file), each bar is one line, printed when it
ends.
"""

import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

MIME = "application/vnd.labkit.progress+json"
RELAY_VARIABLE = "LABKIT_PROGRESS_RELAY"  # set in kernels whose parent draws the bars


def bar(total: int, description: str, *, unit: str = "step", done: int = 0):
    """A bar over `total` units, `done` of them before it began; used like tqdm's:
    `with bar(…) as b: b.update()`.
    """
    options = {"total": total, "desc": description, "unit": unit, "unit_scale": unit == "B"}
    options["initial"] = done
    options["leave"] = None  # a bar within another makes room for the next
    send = getattr(_here, "send", None) or (_to_parent if os.environ.get(RELAY_VARIABLE) else None)
    if send:
        return _RelayedBar(**options, file=io.StringIO(), mininterval=0.25, send=send)
    if _has_kernel():
        from tqdm.auto import tqdm as tqdm_widget  # imports the widgets, which only a notebook has

        return tqdm_widget(**options)
    if sys.stderr.isatty():
        return tqdm(**options, dynamic_ncols=True)
    return _LineBar(**options, file=io.StringIO())


_here = threading.local()


@contextlib.contextmanager
def sent_to(send: Callable[[dict], None]) -> Iterator[None]:
    """The states of this thread's bars are handed to `send`, which brings them to a `Relay`."""
    _here.send = send
    try:
        yield
    finally:
        del _here.send


def in_notebook() -> bool:
    """Whether this is a kernel whose outputs somebody looks at while it runs."""
    return _has_kernel() and not os.environ.get(RELAY_VARIABLE)


def _has_kernel() -> bool:
    # not by "is ipykernel imported": whatever starts kernels imports it as well
    # without the attribute another thread is just importing it, and this is no kernel
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and hasattr(get_ipython(), "kernel")


def _to_parent(state: dict) -> None:
    """Publish a bar's state as a message of the kernel."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.display_pub.publish({MIME: state})


class _RelayedBar(tqdm):
    """Sends its state instead of drawing; a `Relay` elsewhere turns it into a bar."""

    def __init__(self, *, send: Callable[[dict], None], **options):
        self._send = send  # before tqdm's own, which displays at once
        super().__init__(**options)

    def display(self, msg=None, pos=None):
        self._publish(closed=False)

    def close(self):
        if not self.disable:  # tqdm's mark of a bar that is closed already
            super().close()
            self._publish(closed=True)

    def _publish(self, *, closed: bool):
        self._send(
            {
                "id": f"{os.getpid()}-{id(self)}",
                "n": self.n,
                "initial": self.initial,
                "total": self.total,
                "description": self.desc,
                "postfix": getattr(self, "postfix", None) or "",  # not there at the first display
                "unit": self.unit,
                "closed": closed,
            }
        )


class _LineBar(tqdm):
    """Silent while it runs; one line with count, time and the last postfix when it closes."""

    def display(self, msg=None, pos=None):
        pass

    def close(self):
        if not self.disable:
            seconds = time.time() - self.start_t
            count = tqdm.format_sizeof if self.unit_scale else str
            done = f"{count(self.n)}/{count(self.total or self.n)} {self.unit}s"
            note = f", {self.postfix}" if self.postfix else ""
            print(f"{self.desc}: {done} in {seconds:.1f} s{note}", file=sys.stderr, flush=True)
        super().close()


class Relay:
    """Draws, in the parent process, the bars that a kernel publishes."""

    def __init__(self):
        self._bars = {}

    def show(self, state: dict):
        """Bring the bar of one published `state` up to date."""
        shown = self._bars.get(state["id"])
        if shown is None:
            description = "  " + state["description"].strip()
            shown = bar(state["total"], description, unit=state["unit"], done=state["initial"])
            shown.leave = False  # a report trains dozens of runs: their bars make room
            self._bars[state["id"]] = shown
        shown.n = state["n"]
        shown.postfix = state["postfix"]
        shown.refresh()
        if state["closed"]:
            self._bars.pop(state["id"]).close()

    def close(self):
        """Close what is still open: its kernel failed or was interrupted."""
        for shown in self._bars.values():
            shown.close()
        self._bars.clear()
