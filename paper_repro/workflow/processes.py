"""Locks that end with the process that holds them, signals, and children that do not outlive their parent."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import lock_descriptor

from paper_repro.files import ReproError

PARENT = "PAPER_REPRO_PARENT"  # environment variable: the id of the process that started this one


def run_command(main: Callable[[], int | None]) -> None:
    """Exits with the status that `main` returns, and with 2 and one line at the user's mistake, a `ReproError`."""
    try:
        sys.exit(main())
    except ReproError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[IO]:
    """Holds a lock on `path` until this process and every child that inherits the yielded file have ended.

    Raises:
        ReproError: another process holds the lock, the folder cannot be written to, or its file system has no locks.
    """
    try:  # a FileLock does not give access to its file
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
        locked = lock_descriptor(file.fileno(), blocking=False)
    except OSError as error:
        problem = f"cannot write to {path.parent} or lock a file there ({error.strerror})"
        raise ReproError(f"{problem}: choose another folder with OUT=") from error
    with file:
        if not locked:
            remedy = "wait for it or stop it, or choose another folder with OUT="
            raise ReproError(f"another process is working on {what}: {remedy}")
        yield file


@contextmanager
def on_stop(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Calls `handle` at SIGINT, SIGTERM and SIGHUP; a signal that was ignored before (nohup) stays ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, lambda number, frame: handle(signal.Signals(number))) for number in caught}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def follow_parent(number: int = signal.SIGTERM) -> None:
    """Sends the signal to this process, or to the group it leads, when its parent has ended, even by kill -9.

    The parent is the process that `$PAPER_REPRO_PARENT` names, if any. Children can follow this process in turn.
    """
    if (parent := os.environ.get(PARENT)) is None:
        return
    os.environ[PARENT] = str(os.getpid())

    def watch():
        while os.getppid() == int(parent):
            time.sleep(0.5)
        end = os.killpg if os.getpgrp() == os.getpid() else os.kill
        end(os.getpid(), number)

    threading.Thread(target=watch, daemon=True).start()
