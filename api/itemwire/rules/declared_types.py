"""What the functions of an application take and return, as their annotations say."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin

UNKNOWN: Final = inspect.Parameter.empty
"""Stands for an annotation that was not given."""

NUMBERS: Final = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class DeclaredTypes:
    """What a function that answers clients takes and returns.

    It `takes` None where it has no parameter for data, and may be asked without data where that is
    `optional`.
    """

    takes: Any
    optional: bool
    returns: Any
    numbers: frozenset[str]

    @classmethod
    def of(
        cls,
        signature: inspect.Signature,
        data: inspect.Parameter | None,
        pattern_parameters: Collection[str],
    ) -> "DeclaredTypes":
        """Return the types of a function whose signature has its annotations evaluated."""
        return cls(
            None if data is None else data.annotation,
            data is not None and data.default is not inspect.Parameter.empty,
            signature.return_annotation,
            numbers_in(signature, pattern_parameters),
        )


def numbers_of(function: Callable[..., Any], names: Collection[str]) -> frozenset[str]:
    """Return which of these parameters a function takes as numbers."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError):  # FastAPI says what is wrong, if anything is
        return frozenset()
    return numbers_in(signature, names)


def numbers_in(signature: inspect.Signature, names: Collection[str]) -> frozenset[str]:
    """Return which of these parameters a signature has as numbers."""
    found = (one for one in signature.parameters.values() if one.name in names)
    return frozenset(one.name for one in found if _plain(one.annotation) in NUMBERS)


def _plain(annotation: Any) -> Any:  # noqa: ANN401 - an annotation
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
