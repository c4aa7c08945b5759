"""A measured figure, and how figures are shown and kept."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`value` in `unit`, beside the floor's value in the same run.

    `ratio` is value by floor. `budget` bounds the ratio where there is one, else the value; `at_least` says which side of it is good.
    `noise_free` figures count instead of timing: they are held to their budget in a smoke run too.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    budget: float | None = None
    at_least: bool = False
    noise_free: bool = False

    @property
    def ratio(self) -> float | None:
        """Value by floor, if there is a floor."""
        return None if not self.floor else self.value / self.floor

    @property
    def ok(self) -> bool:
        """Whether the budget is kept; true without one."""
        if self.budget is None:
            return True
        measured = self.value if self.ratio is None else self.ratio
        return measured >= self.budget if self.at_least else measured <= self.budget

    def entry(self) -> dict[str, object]:
        """Return the figure as it stands in `bench.json`."""
        kept = asdict(self)
        return {name: kept[name] for name in ("name", "value", "unit", "floor")} | {
            "ratio": self.ratio,
            "budget": self.budget,
            "ok": self.ok,
        }


def write(figures: Sequence[Figure], path: Path) -> None:
    path.write_text(json.dumps([figure.entry() for figure in figures], indent=1) + "\n", encoding="utf-8")


def row(figure: Figure) -> str:
    """Return one line of the table."""
    sign = "≥" if figure.at_least else "≤"
    budget = "" if figure.budget is None else f"{sign} {_shown(figure.budget)}{' ×' if figure.ratio is not None else ''}"
    cells = (_shown(figure.value), figure.unit, _shown(figure.floor), "" if figure.ratio is None else f"{figure.ratio:.2f} ×", budget)
    widths = (11, 10, 10, 9, 10)
    verdict = "" if figure.budget is None else "ok" if figure.ok else "OVER"
    return f"{figure.name:<58}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)) + f"  {verdict}"


HEADING = f"{'figure':<58}{'Luneo':>11}{'unit':>10}{'floor B':>10}{'ratio':>9}{'budget':>10}"


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"
