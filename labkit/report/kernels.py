"""Kernels that start at once, because what they all import was imported before they were forked.

A fresh interpreter takes seconds to import torch, pandas and matplotlib, in every notebook anew.
Python's fork server (`multiprocessing`) imports them once (`preload`), and each kernel is a fork of
it: of a process that runs nothing else, so that no thread can be lost.

Elsewhere than on Linux, where forking is not possible or not safe, kernels start as usual.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

NAME = "labkit-fork"
PRELOAD = "labkit.report.preload"


def fork_them() -> None:
    """From here on, the kernels that this process starts are forked."""
    if sys.platform == "linux":
        factory = KernelProvisionerFactory.instance()
        where = f"{__name__}:{ForkedProvisioner.__name__}"
        factory.provisioners[NAME] = EntryPoint(NAME, where, factory.GROUP_NAME)
        factory.default_provisioner_name = NAME


def warm_up() -> None:
    """Start the fork server now, in the background; without it the first kernel does."""
    if sys.platform == "linux":
        multiprocessing.get_context("forkserver").set_forkserver_preload([PRELOAD])
        forkserver.ensure_running()


class ForkedProvisioner(LocalProvisioner):
    """jupyter_client's own, but for how the process starts."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; of `kwargs`, `env`, `cwd` and the file `stderr` are followed.

        What is no Python kernel starts as usual, and so does every one if the fork server fails.
        """
        if "-f" not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        warm_up()
        arguments = cmd[cmd.index("-f") :]
        log = getattr(kwargs.get("stderr"), "name", os.devnull)
        directory = str(kwargs.get("cwd") or Path.cwd())
        environment = dict(kwargs.get("env") or os.environ)
        process = multiprocessing.get_context("forkserver").Process(
            target=_serve, args=(arguments, environment, directory, log), name="kernel"
        )
        try:
            with _no_main():
                process.start()
        except (OSError, EOFError):
            return await super().launch_kernel(cmd, **kwargs)
        # at the end multiprocessing waits for its processes, and this one might not end
        atexit.register(process.kill)
        self.process = _LikePopen(process)
        # it leads a group of its own, so that a signal reaches what it has started as well
        self.pid = self.pgid = process.pid
        self.cwd = directory
        return self.connection_info


class _LikePopen:
    """A process of multiprocessing, as `LocalProvisioner` knows processes."""

    stdin = stdout = stderr = None

    def __init__(self, process: multiprocessing.Process):
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        os.kill(self._process.pid, signum)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Without this the fork would run the script again that this process was started with."""
    with _one_at_a_time:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


_one_at_a_time = threading.Lock()


def _serve(arguments: list[str], environment: dict[str, str], directory: str, log: str) -> None:
    """Become a kernel. Runs in the fork."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # how a kernel is interrupted
    os.setsid()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    try:
        output = os.open(log, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return  # whoever asked for a kernel was interrupted meanwhile
    os.dup2(output, 1)
    os.dup2(output, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    import numpy
    import torch
    from ipykernel.kernelapp import IPKernelApp

    threads = environment.get("OMP_NUM_THREADS", "")  # which was read before the fork
    if threads.isdecimal():
        torch.set_num_threads(int(threads))
    numpy.random.seed()  # else every kernel would draw the same
    IPKernelApp.launch_instance(argv=arguments)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
