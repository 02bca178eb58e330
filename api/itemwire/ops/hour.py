"""The hour behind: a sample for each of the last 60 s, and one for each 10 s before."""

from collections import deque
from typing import Final

from itemwire.ops.samples import NOTHING, Sample, condensed

STEP_SECONDS: Final = 10
STEPS: Final = 360
LAST_SECONDS: Final = 60


class Hour:
    """Keeps 420 samples at most, which take some 300 KB."""

    def __init__(self) -> None:
        self._steps: deque[Sample] = deque(maxlen=STEPS)
        self._seconds: deque[Sample] = deque(maxlen=LAST_SECONDS)
        self._step: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """Add the sample of a second."""
        self._seconds.append(sample)
        self._step.append(sample)
        if len(self._step) == STEP_SECONDS:
            self._steps.append(condensed(self._step))
            self._step.clear()

    @property
    def newest(self) -> Sample:
        """Return the newest sample; before there is one, figures of 0."""
        return self._seconds[-1] if self._seconds else NOTHING

    def samples(self) -> list[Sample]:
        """Return all samples, the oldest first."""
        since = self._seconds[0].at if self._seconds else 0.0
        return [*(one for one in self._steps if one.at < since), *self._seconds]
