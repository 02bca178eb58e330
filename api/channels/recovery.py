"""Joins missed history to the live stream without gap or repeat."""

from collections.abc import Iterator

from api.channels.holding import Holding
from api.engines.base import History
from api.messages import Publication, payload_size


class Recovery:
    """The live publications that arrive while history is being read, at most `limit` bytes.

    The subscription is held from before the read until after it, so whatever is published
    meanwhile is in the history, here, or in both; offsets tell which (Centrifugo's way).
    """

    __slots__ = ("_live",)

    def __init__(self, limit: int) -> None:
        self._live = Holding[Publication](limit)

    def hold(self, publication: Publication) -> bool:
        """Keep a live publication until the history is there; False: there are too many."""
        return self._live.keep(publication, payload_size(publication.data))

    def join(self, history: History) -> Iterator[Publication]:
        """Give what the client is to see first: the history, then what came after it."""
        yield from history.publications
        for publication in self._live.release():
            if publication.offset > history.position.offset:
                yield publication
