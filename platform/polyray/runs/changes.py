"""Fields in which a start of a run differs from the start before it."""

from dataclasses import dataclass

from polyray.config import Section, dotted, elastic_fields, observing_sections


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Differences between two configs of one job, a line for each field.

    Attributes:
        refused: fields that decide what the run computes.
        elastic: fields in which it may go on otherwise, no longer exact to the byte; see `Section`.
        observing: fields that only say who watches it.
    """

    refused: tuple[str, ...] = ()
    elastic: tuple[str, ...] = ()
    observing: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether anything differs that may differ."""
        return bool(self.elastic or self.observing)


def changes(stored: Section, asked: Section) -> Changes:
    """The fields in which `asked` differs from `stored`, a config of the same class."""
    before, after = dotted(stored.model_dump(mode="json")), dotted(asked.model_dump(mode="json"))
    elastic = elastic_fields(type(asked))
    observing = tuple(f"{section}." for section in observing_sections(type(asked)))
    lines: dict[str, list[str]] = {"refused": [], "elastic": [], "observing": []}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            group = "observing" if name.startswith(observing) else "elastic" if name in elastic else "refused"
            lines[group].append(f"{name} = {before.get(name)!r} there, {after.get(name)!r} here")
    return Changes(**{group: tuple(of_group) for group, of_group in lines.items()})
