"""What was chosen of an interval's choices: what it draws and is worth, and what it breaks."""

from dataclasses import dataclass

from schemas.events import PowerMode
from streams.domain.choice import Choices, ModeChoice, PlaceChoice


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen: the mode of each ASIC group, and the group of each workload that runs."""

    modes: dict[str, PowerMode]
    places: dict[str, str]


@dataclass(frozen=True, slots=True)
class Draws:
    """What a selection draws, W at the meter: in all over the base, and behind each transformer over the idle draw."""

    load_w: int
    behind_w: dict[str, int]


def chosen(found: Choices, selection: Selection) -> list[ModeChoice | PlaceChoice]:
    """Returns the choices of a selection."""
    modes = [choice for group, mode in selection.modes.items() for choice in found.modes[group] if choice.mode is mode]
    places = [place for place in found.places if selection.places.get(place.workload.workload_id) == place.group]
    return [*modes, *places]


def worth(found: Choices, selection: Selection) -> int:
    """Worth of a selection, money units an hour, without the constant part; penalties taken off."""
    return sum(choice.worth for choice in chosen(found, selection)) - penalties(found, extra_w(found, selection))


def penalties(found: Choices, load_w: int) -> int:
    """Penalty of a load over the base, money units an hour: over a call's limit, or short of a floor."""
    short = sum(max(floor.extra_w - load_w, 0) * floor.penalty_per_w for floor in found.floors)
    return excess_w(found, load_w) * found.penalty_per_w + short


def excess_w(found: Choices, load_w: int) -> int:
    """Load over the limit of the active call, W."""
    return 0 if found.limit_extra_w is None else max(load_w - found.limit_extra_w, 0)


def is_short(found: Choices, selection: Selection) -> bool:
    """Whether a selection draws less than a floor."""
    load_w = extra_w(found, selection)
    return any(load_w < floor.extra_w for floor in found.floors)


def keeps_limits(found: Choices, selection: Selection) -> bool:
    """Whether a selection draws no more than cap, call and transformers allow."""
    load_w = extra_w(found, selection)
    return load_w <= found.cap_extra_w and excess_w(found, load_w) == 0 and not overloaded(found, selection)


def overloaded(found: Choices, selection: Selection) -> set[int]:
    """Transformers with more behind them than they carry, by their position."""
    behind_w = draws(found, selection).behind_w if found.transformers else {}
    return {n for n, (name, room_w) in enumerate(found.transformers.items()) if behind_w[name] > room_w}


def draws(found: Choices, selection: Selection) -> Draws:
    """Load of a selection over the base and over the idle draw behind each transformer."""
    load_w, behind_w = 0, dict.fromkeys(found.transformers, 0)
    for choice in chosen(found, selection):
        load_w += choice.extra_w
        transformer = found.fed_by.get(choice.group)
        if transformer in behind_w:
            behind_w[transformer] += choice.extra_w
    return Draws(load_w, behind_w)


def extra_w(found: Choices, selection: Selection) -> int:
    """Load of a selection over the base, W at the meter."""
    return sum(choice.extra_w for choice in chosen(found, selection))
