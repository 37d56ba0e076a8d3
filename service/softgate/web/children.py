"""Processes forked from this one, which do not outlive it."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

logger = logging.getLogger("softgate.web")


class Children:
    def __init__(self) -> None:
        # Only this process holds the writing end, so a child that reads its end learns of the parent's death.
        self._death, self._life = os.pipe()

    def fork(self, run: Callable[[], int], *, orphaned: Callable[[], object]) -> int:
        """
        The id of a child that runs `run` and exits with what it returns.

        The child calls `orphaned` on a thread of its own when this process is gone.
        """
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            # Sent to all of a terminal, it is this process's business alone.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            os.close(self._life)
            threading.Thread(target=self._wait_for_death, args=(orphaned,), daemon=True).start()
            code = run()
        except BaseException:
            logger.critical("process failed", exc_info=True, extra={"pid": os.getpid()})
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _wait_for_death(self, orphaned: Callable[[], object]) -> None:
        os.read(self._death, 1)
        orphaned()


def stop_gently() -> None:
    """A worker without its parent would hold the port against the next server."""
    os.kill(os.getpid(), signal.SIGTERM)
