"""Kernels that start at once, because what they all import was imported before they were forked.

A fresh interpreter takes seconds to import torch, pandas and matplotlib, in every notebook anew.
Python's fork server (`multiprocessing`) imports them once (`preload`), and each kernel is a fork of
it: of a process that runs nothing else, so that no thread can be lost.

Where there is no fork server, on Windows, kernels start as usual.
"""

import multiprocessing
import os
import threading
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
    if "forkserver" in multiprocessing.get_all_start_methods():
        factory = KernelProvisionerFactory.instance()
        where = f"{__name__}:{ForkedProvisioner.__name__}"
        factory.provisioners[NAME] = EntryPoint(NAME, where, factory.GROUP_NAME)
        factory.default_provisioner_name = NAME


def warm_up() -> None:
    """Start the fork server now, in the background; without it the first kernel does."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.get_context("forkserver").set_forkserver_preload([PRELOAD])
        forkserver.ensure_running()


class ForkedProvisioner(LocalProvisioner):
    """jupyter_client's own, but for how the process starts."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; of `kwargs`, `env`, `cwd` and the file `stderr` are followed."""
        warm_up()
        arguments = cmd[cmd.index("-f") :]
        log = getattr(kwargs.get("stderr"), "name", os.devnull)
        directory = str(kwargs.get("cwd") or Path.cwd())
        environment = dict(kwargs.get("env") or os.environ)
        process = multiprocessing.get_context("forkserver").Process(
            target=_serve, args=(arguments, environment, directory, log), name="kernel"
        )
        process.start()
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


def _serve(arguments: list[str], environment: dict[str, str], directory: str, log: str) -> None:
    """Become a kernel. Runs in the fork."""
    os.setsid()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    # watched below; the kernel's own watch would take the fork server for its parent
    os.environ.pop("JPY_PARENT_PID", None)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(argv=arguments)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
