"""When a dead worker is started again: at once, after a pause, or not any more."""

# A worker that never gets ready will not do so at the next try either.
MOST_EARLY_DEATHS = 3
# One that dies again within this time has most likely died of the same.
STEADY_SECONDS = 60.0
MOST_SHORT_LIVES = 8
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0


class Restarts:
    """Of one worker and its successors."""

    def __init__(self) -> None:
        self._early_deaths = 0
        """In a row, before it was ready."""
        self._short_lives = 0
        """In a row."""

    def pause(self, *, was_ready: bool, lived_seconds: float) -> float | None:
        """
        After a death: the seconds to wait before the next start; None: another would be in vain.

        `was_ready`: whether it had been, or others like it are.
        """
        self._early_deaths = 0 if was_ready else self._early_deaths + 1
        self._short_lives = self._short_lives + 1 if lived_seconds < STEADY_SECONDS else 1
        if self._early_deaths >= MOST_EARLY_DEATHS or self._short_lives >= MOST_SHORT_LIVES:
            return None
        return pause_seconds(self._short_lives)


def pause_seconds(n_short_lives: int) -> float:
    """None after the first two deaths: a second victim of the system's memory killer is no crash loop yet."""
    if n_short_lives <= 2:
        return 0.0
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (n_short_lives - 3)))
