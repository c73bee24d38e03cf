"""One test over many cases, which names every case that fails."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

Test = Callable[..., None]


def for_each(**values: Sequence[Any]) -> Callable[[Test], Test]:
    """Decorator of a test: it is called with every combination of the values, one after the other."""
    return for_cases([dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())])


def for_cases(cases: Sequence[Mapping[str, Any]]) -> Callable[[Test], Test]:
    """Decorator of a test: it is called with each of the cases, arguments by name; its fixtures stay what they are."""
    assert cases

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            wrong = []
            for case in cases:
                try:
                    test(**case, **fixtures)
                except AssertionError as error:
                    wrong.append(f"{case}: {error}")
                except Exception as error:
                    error.add_note(f"with {case}")
                    raise
            assert not wrong, f"{len(wrong)} of {len(cases)} cases:\n" + "\n".join(wrong)

        fixtures = [p for name, p in inspect.signature(test).parameters.items() if name not in cases[0]]
        run.__signature__ = inspect.Signature(fixtures)  # type: ignore[attr-defined]  # pytest reads it
        return run

    return decorate
