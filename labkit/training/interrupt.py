"""■ in JupyterLab while a run trains: its state is saved before the training ends."""

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from labkit import progress
from labkit.training import loop

PATIENCE = 5.0  # seconds for the step that is being taken, and for saving


@contextlib.contextmanager
def after_saving(path: Path) -> Iterator[None]:
    """An interrupt waits until the state of the run that trains inside is saved at `path`.

    Not longer than `PATIENCE`; a second interrupt does not wait. In JupyterLab alone, where ■ is
    how a student looks at what there is so far; in a terminal Ctrl-C is what it was.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and progress.in_notebook()):
        yield
        return
    interval = loop.CHECKPOINT_SECONDS
    over = threading.Event()
    watching: threading.Thread | None = None

    def first(signum, frame):
        nonlocal watching
        if watching:
            raise KeyboardInterrupt
        loop.CHECKPOINT_SECONDS = -1  # any step is late enough to be saved
        watching = threading.Thread(target=_second, args=(path, _changed(path), over), daemon=True)
        watching.start()

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        loop.CHECKPOINT_SECONDS = interval
        over.set()
        if watching:
            watching.join()
    if watching:  # the run came to its end meanwhile
        raise KeyboardInterrupt


def _second(path: Path, saved: int | None, over: threading.Event) -> None:
    """The interrupt itself, as soon as there is another state at `path` than the one `saved`."""
    deadline = time.monotonic() + PATIENCE
    while not over.wait(0.02):
        if _changed(path) != saved or time.monotonic() > deadline:
            _thread.interrupt_main()
            break


def _changed(path: Path) -> int | None:
    """When a file was changed; None where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return None
