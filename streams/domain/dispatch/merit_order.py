"""The rule that every operator knows: the worth per watt decides, best first. Solvers are measured by it."""

from streams.domain.choice import Choices, ModeChoice, PlaceChoice
from streams.domain.selection import Selection


def merit_order(found: Choices) -> Selection:
    """The rule that every operator knows: the worth per watt decides, best first, while power and GPUs last.

    What runs keeps running where it can. Feasible always; the floor that the solver starts from and is measured
    against.
    """
    room_w = found.cap_extra_w if found.limit_extra_w is None else min(found.cap_extra_w, found.limit_extra_w)
    free, behind = dict(found.gpus), dict(found.transformers)
    modes = {group: min(options, key=lambda c: c.extra_w).mode for group, options in found.modes.items()}
    places: dict[str, str] = {}
    used = dict.fromkeys(found.modes, 0)

    def draws(choice: ModeChoice | PlaceChoice) -> bool:
        nonlocal room_w
        transformer = found.fed_by.get(choice.group)
        if choice.extra_w > min(room_w, behind.get(transformer or "", room_w)):
            return False
        room_w -= choice.extra_w
        if transformer in behind:
            behind[transformer] -= choice.extra_w
        return True

    candidates: list[ModeChoice | PlaceChoice] = [c for options in found.modes.values() for c in options]
    candidates.extend(found.places)
    for choice in sorted((c for c in candidates if c.worth > 0), key=_merit, reverse=True):
        match choice:
            case ModeChoice():
                # A group takes its best mode per watt once; a mode after that is a worse use of the same devices.
                if used[choice.group] == 0 and draws(choice):
                    modes[choice.group] = choice.mode
                    used[choice.group] = choice.extra_w
            case PlaceChoice():
                gpus, name = choice.workload.gpus, choice.workload.workload_id
                if name not in places and gpus <= free[choice.group] and draws(choice):
                    places[name] = choice.group
                    free[choice.group] -= gpus
    return Selection(modes, places)


def _merit(choice: ModeChoice | PlaceChoice) -> tuple[float, int, str, str]:
    match choice:
        case ModeChoice():
            return choice.worth / max(choice.extra_w, 1), 0, choice.group, choice.mode
        case PlaceChoice():
            merit = choice.worth / max(choice.extra_w, 1)
            return merit, choice.workload.priority, choice.group, choice.workload.workload_id
