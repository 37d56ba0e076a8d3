"""How long a process whose event loop should beat has not done so."""

# A watcher that was itself held up for longer, say with a suspended machine, has not seen so much silence.
LONGEST_LOOK_SECONDS = 1.0


class Silence:
    def __init__(self) -> None:
        self._beats = 0.0
        self._seconds = 0.0

    def look(self, beats: float, *, elapsed: float) -> float:
        """
        Seconds of silence, of those that the watcher was awake for.

        `beats` counts the process's beats so far, and `elapsed` the seconds since the last look. 0 beats: it has not
        started its loop, and nothing is expected of it.
        """
        if beats != self._beats or not beats:
            self._beats, self._seconds = beats, 0.0
        else:
            self._seconds += min(elapsed, LONGEST_LOOK_SECONDS)
        return self._seconds
