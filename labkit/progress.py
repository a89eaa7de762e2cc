"""One progress bar for every long step, wherever it runs.

In a terminal it is a tqdm bar, in JupyterLab a line of text, which can be read in the saved
notebook too. Where there is no screen the bar is sent to the process that has one, whose `Relay`
draws it: from a notebook that `labkit report` executes (so that nothing of it ends up among the
notebook's outputs), and from the worker of a cluster. Where the output is no terminal (CI, a log
file), each bar is one line, printed when it ends.
"""

import contextlib
import html
import io
import math
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
    send = getattr(_here, "send", None) or (_to_parent if is_relayed() else None)
    if send:
        return _RelayedBar(**options, file=io.StringIO(), mininterval=0.25, send=send)
    if _has_kernel():
        return _NotebookBar(**options, file=io.StringIO(), mininterval=0.25)
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


class Shown:
    """An output of the cell that is running; what it shows is replaced in place."""

    def __init__(self):
        self._handle = None

    def show(self, body: str, text: str = "") -> None:
        """HTML, and plain text for what shows no HTML."""
        from IPython.display import DisplayHandle  # only a notebook needs it

        bundle = {"text/html": body, "text/plain": text}
        if self._handle is None:
            self._handle = DisplayHandle()
            self._handle.display(bundle, raw=True)
        else:
            self._handle.update(bundle, raw=True)


def line(text: str) -> str:
    """HTML of a line that says how things stand, in the page's quiet colour.

    Its figures are of one width, so that it does not tremble while they change.
    """
    style = "color: var(--jp-ui-font-color2, inherit); font-variant-numeric: tabular-nums"
    return f'<div class="labkit-line" style="{style}">{html.escape(text)}</div>'


def duration(seconds: float) -> str:
    """As one says it.

    >>> duration(0.2), duration(80), duration(7500)
    ('1 s', '1 min 20 s', '2 h 5 min')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def in_notebook() -> bool:
    """Whether this is a kernel whose outputs somebody looks at while it runs."""
    return _has_kernel() and not is_relayed()


def is_relayed() -> bool:
    """Whether this process was started by `labkit report`, which draws its bars."""
    return bool(os.environ.get(RELAY_VARIABLE))


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
            print(_ended(self), file=sys.stderr, flush=True)
        super().close()


class _NotebookBar(tqdm):
    """A line below the cell: how far it is and the time left; when it closes, the time it took."""

    def __init__(self, **options):
        self._shown = Shown()  # before tqdm's own, which displays at once
        super().__init__(**options)

    def display(self, msg=None, pos=None):
        said, note = f"{self.desc}: {percent(self.n, self.total)}", getattr(self, "postfix", None)
        done = self.n - self.initial
        if done and self.total and self.n < self.total:
            left = self.format_dict["elapsed"] * (self.total - self.n) / done
            said += f", about {duration(left)} left"
        self._say(f"{said}; {note}" if note else said)

    def close(self):
        if not self.disable:
            super().close()
            self._say(_ended(self))

    def _say(self, text: str):
        self._shown.show(line(text), text)


def percent(done: float, total: float | None) -> str:
    """A share in whole percent.

    >>> percent(1, 3)
    '33 %'
    """
    return f"{100 * done / total:.0f} %" if total else f"{done:g}"


def _ended(bar: tqdm) -> str:
    """What a bar leaves behind: count, time, and the last postfix."""
    seconds = time.time() - bar.start_t
    count = tqdm.format_sizeof if bar.unit_scale else str
    done = f"{count(bar.n)}/{count(bar.total or bar.n)} {bar.unit}s"
    note = f", {bar.postfix}" if bar.postfix else ""
    return f"{bar.desc}: {done} in {seconds:.1f} s{note}"


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
