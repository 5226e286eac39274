"""The results of warehouses as text: the Pass^k table and the paired differences."""

from collections.abc import Sequence
from pathlib import Path

from assets.pages import gate_page_path, report_path
from assets.profile import stored_profile
from assets.reports import differences
from quality.pass_hat_k import PairedDifference, paired_difference, policy_order, table_text
from quality.pass_hat_k import report as estimates
from schemas import BOOTSTRAP, PassHatK, TaskOutcome, UnknownRoundError, WarehouseError
from schemas.store import Warehouse

__all__ = ["arms_text", "results_text"]


def results_text(root: str | Path) -> str:
    """Table, differences and places of one warehouse.

    Raises:
        WarehouseError: When there is no warehouse.
        UnknownRoundError: When no round is reported yet.
    """
    if not Path(root).is_dir():
        raise WarehouseError(f"warehouse[{root}]: expected a folder, got none; run `python -m jobs demo` first")
    warehouse = Warehouse.open(root)
    rounds = warehouse.rounds("pass_hat_k_report")
    profile = stored_profile(root)
    if profile is not None and not profile.trains and warehouse.rounds("baseline_test_outcomes"):
        rows = estimates(_outcomes(warehouse, ()), profile.ks, seed=profile.seed)
        return "\n".join([_title(root), "", table_text(rows), "", *_look(root)])
    if not rounds:
        raise UnknownRoundError(f"pass_hat_k_report[{root}]: expected a reported round, got none; run the demo first")
    report = [row for row in warehouse.read("pass_hat_k_report", rounds[-1]) if isinstance(row, PassHatK)]
    outcomes = _outcomes(warehouse, rounds)
    ks = sorted({row.k for row in report})
    gains = [_difference(gain) for gain in differences(outcomes, ks)]
    return "\n".join([_title(root), "", table_text(report), "", "paired by task:", *gains, "", *_places(root, rounds)])


def arms_text(root: str | Path, arm: str | Path) -> str:
    """What a warehouse's policies gain over those of its control arm, round by round, paired by task."""
    mine, other = (_trained(Warehouse.open(each)) for each in (root, arm))
    profile = stored_profile(root)
    ks = (profile.ks[0], profile.ks[-1]) if profile else (1, 4)
    gains = [
        _difference(paired_difference(other[policy], mine[policy], k))
        for policy in sorted(mine.keys() & other.keys(), key=policy_order)
        for k in ks
    ]
    return "\n".join([f"{root} over {arm}, paired by task:", *gains])


def _trained(warehouse: Warehouse) -> dict[str, list[TaskOutcome]]:
    rounds = warehouse.rounds("test_outcomes")
    found: dict[str, list[TaskOutcome]] = {}
    for row in warehouse.read("test_outcomes", rounds=rounds) if rounds else ():
        if isinstance(row, TaskOutcome):
            found.setdefault(row.policy, []).append(row)
    return found


def _outcomes(warehouse: Warehouse, rounds: Sequence[str]) -> list[TaskOutcome]:
    rows = [
        *warehouse.read("baseline_test_outcomes", BOOTSTRAP),
        *(warehouse.read("test_outcomes", rounds=rounds) if rounds else ()),
    ]
    return [row for row in rows if isinstance(row, TaskOutcome)]


def _title(root: str | Path) -> str:
    profile = stored_profile(root)
    said = f"profile {profile.name}, seed {profile.seed}, targeting {profile.targeting}" if profile else "no profile"
    return f"{root}: {said}"


def _difference(gain: PairedDifference) -> str:
    points = f"{100 * gain.mean:+.1f} points [{100 * gain.ci_low:+.1f}, {100 * gain.ci_high:+.1f}]"
    return f"  Pass^{gain.k}  {gain.candidate} over {gain.baseline}: {points}, p = {gain.p_value:.3f}"


def _places(root: str | Path, rounds: Sequence[str]) -> list[str]:
    folder = Path(root).absolute()
    return [
        f"warehouse  {folder}",
        f"report     {report_path(str(folder), rounds[-1])}",
        f"gates      {gate_page_path(str(folder), rounds[-1])}",
        *_look(root),
    ]


def _look(root: str | Path) -> list[str]:
    return [
        f"look       python -m jobs ui --warehouse {root}",
        f'ask        python -m schemas.query --root {root} "select pattern, count(*) from task_pool group by 1"',
    ]
