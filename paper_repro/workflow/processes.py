"""Locks that die with their holder, signals, and children that do not outlive their parent."""

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from paper_repro.files import ReproError

PARENT = "PAPER_REPRO_PARENT"  # environment variable: the id of the process that started this one


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[IO]:
    """Holds a lock on `path`, which the operating system releases when this process (and a child that was given the
    file) ends, however it ends.

    Raises:
        ReproError: another process holds it, or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise ReproError(
            f"cannot write to {path.parent} ({error.strerror}): choose another folder with OUT="
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReproError(
                f"another process is working on {what}: wait for it or stop it, or choose another folder with OUT="
            ) from None
        except OSError as error:
            raise ReproError(
                f"cannot lock {path} ({error.strerror}), without which two processes could write to one "
                "folder: choose a folder with OUT= on a file system that has locks"
            ) from None
        yield file


@contextmanager
def on_stop(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Calls `handle` when SIGINT, SIGTERM or SIGHUP comes; one that was ignored before, as by nohup, stays ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, lambda number, frame: handle(signal.Signals(number))) for number in caught}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def follow_parent(number: int = signal.SIGTERM) -> None:
    """Sends the signal to this process (to its whole group, when it leads one) as soon as the process that
    `$PAPER_REPRO_PARENT` names is no longer its parent, be it by kill -9. Children that call this follow this process
    in turn. Without the variable, nothing happens."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    os.environ[PARENT] = str(os.getpid())

    def watch():
        while os.getppid() == int(parent):
            time.sleep(0.5)
        end = os.killpg if os.getpgrp() == os.getpid() else os.kill
        end(os.getpid(), number)

    threading.Thread(target=watch, daemon=True).start()
