"""What of a job is done: decided by the rows and verdicts in the warehouse, never by the memory of a process.

An asset is finished when its round is written and every gate has passed on just these rows, or a person has waived
them. Rows that a killed process wrote but could not check are checked here instead of being made again.
"""

import logging

import dagster as dg

from assets.checks import gate_names, verdicts
from assets.pages import report_path
from assets.profile import Profile
from assets.rounds import ROUND_KEYS, next_round
from schemas import BOOTSTRAP, UngatedRoundError, UnknownRoundError
from schemas.store import Warehouse

logger = logging.getLogger(__name__)

FILES = frozenset({"round_report"})
"""Assets that are files, not tables."""


def is_finished(warehouse: Warehouse, profile: Profile, asset: str, round: str) -> bool:
    """Whether an asset's round is written, announced and has passed its gates; missing verdicts are made up for."""
    if asset in FILES:
        return report_path(warehouse.root, round).exists()
    if not _checked(warehouse, profile, asset, round):
        return False
    first, later = ROUND_KEYS[0], round != BOOTSTRAP and next_round(round)
    following = {"sft_checkpoint": first, "served_checkpoint": first, "rl_checkpoint": later}.get(asset)
    return not following or _checked(warehouse, profile, "round_policy", following)


def _checked(warehouse: Warehouse, profile: Profile, table: str, round: str) -> bool:
    """Whether a round is written and either has passed its gates or a person has waived them."""
    if round not in warehouse.rounds(table):
        return False
    if warehouse.waiver(table, round) is not None:
        return True
    said = _verdicts(warehouse, table, round)
    if said is None or set(gate_names(table)) - said.keys():
        logger.info("%s[%s]: rows are there, checking them", table, round)
        said = {result.gate: result.passed for result in verdicts(warehouse, profile, table, round)}
    return all(said.values())


def is_passed(warehouse: Warehouse, table: str, round: str) -> bool:
    """Whether every gate of a table has said yes to its round, or a person has waived them; nothing is made up for."""
    if round in warehouse.rounds(table) and warehouse.waiver(table, round) is not None:
        return True
    said = _verdicts(warehouse, table, round) or {}
    return set(gate_names(table)) <= said.keys() and all(said.values())


def _verdicts(warehouse: Warehouse, table: str, round: str) -> dict[str, bool] | None:
    """Gate -> passed; None when no verdict is on the rows as they are."""
    try:
        rows = warehouse.read_arrow("gate_results", round, columns=["table", "gate", "passed"]).to_pylist()
        said = {row["gate"]: row["passed"] for row in rows if row["table"] == table}
        if all(said.values()):
            warehouse.read_arrow(table, round, columns=["round"])
    except (UnknownRoundError, UngatedRoundError):
        return None
    return said


def unfinished(warehouse: Warehouse, profile: Profile, job: dg.JobDefinition, round: str) -> list[dg.AssetKey]:
    """Assets of a job to make for a round, in the order of the graph.

    What is downstream of an unfinished asset is unfinished too: its rows are about to be made from others. Assets that
    one step makes together are made together.
    """
    graph, within = job.asset_layer.asset_graph, set(job.asset_layer.executable_asset_keys)
    wanted: set[dg.AssetKey] = set()
    for key in graph.toposorted_asset_keys:
        if key not in within or key in wanted:
            continue
        node = graph.get(key)
        if wanted & set(node.parent_keys) or not is_finished(warehouse, profile, key.to_user_string(), round):
            wanted |= set(node.execution_set_asset_keys) & within
    return [key for key in graph.toposorted_asset_keys if key in wanted]
