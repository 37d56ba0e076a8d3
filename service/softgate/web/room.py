"""How much of bodies that are not whole yet, and of lines that have not ended, may be held."""

from softgate.errors import Overloaded


class Room:
    """For all together: five hundred that never end would fill the memory."""

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._n_taken = 0

    def take(self, n_bytes: int) -> None:
        """Raises Overloaded; what was taken is to be given back all the same."""
        self._n_taken += n_bytes
        if self._n_taken > self._n_bytes:
            raise Overloaded(f"Expected bodies of at most {self._n_bytes} bytes under way at once; there are more.")

    def give_back(self, n_bytes: int) -> None:
        self._n_taken -= n_bytes
