"""Running the loop in this process, from the last finished asset on.

Each group of assets is one Dagster run, recorded in the warehouse's own DAGSTER_HOME. A killed run is simply started
again: what is finished is skipped (`jobs.progress`), and Dagster is told of rows that a killed process had written
without telling it.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from assets.profile import Profile
from assets.roles import require_endpoints
from assets.rounds import known_round, up_to
from jobs.home import PID_TAG, opened_instance
from jobs.progress import unfinished
from jobs.stopping import ended_by_signals
from schemas import BOOTSTRAP, ConfigError, GateError, UnknownRoundError
from schemas.folders import folder_of
from schemas.locks import exclusive
from schemas.store import Warehouse

logger = logging.getLogger(__name__)

GROUPS = {
    "bootstrap": ("bootstrap", "imitation", "evaluation"),
    "one_round": ("discovery", "injection", "training", "evaluation"),
    "served_bootstrap": ("bootstrap", "serving", "evaluation"),
    "served_round": ("discovery", "injection"),
    "ablation": ("evaluation",),
}
"""Groups of a job in the order in which they run."""


class LoopRunner:
    """Runs jobs over one warehouse; only one runner works on a warehouse at a time."""

    def __init__(
        self,
        warehouse: Warehouse,
        profile: Profile,
        instance: dg.DagsterInstance,
        definitions: dg.Definitions,
    ) -> None:
        """Hold what runs need; see `open_runner`."""
        self.warehouse = warehouse
        self.profile = profile
        self.instance = instance
        self._definitions = definitions

    def run_bootstrap(self) -> None:
        """Make everything before the loop that is not finished."""
        self._run("bootstrap" if self.profile.trains else "served_bootstrap", BOOTSTRAP)

    def run_round(self, round: str) -> None:
        """Make what is not finished of a round.

        Raises:
            UnknownRoundError: When there is no such round, or no policy to test in it.
        """
        known_round(round)
        if round not in self.warehouse.rounds("round_policy"):
            before = up_to(round)[-2] if len(up_to(round)) > 1 else BOOTSTRAP
            raise UnknownRoundError(
                f"round_policy[{round}]: expected a checkpoint to test in this round, got none; run {before} first"
            )
        self._run("one_round" if self.profile.trains else "served_round", round)

    def run_ablation(self, round: str) -> None:
        """Make the reward ablation of a finished round."""
        self._run("ablation", known_round(round))

    def run_again(self, tables: Sequence[str], round: str) -> None:
        """Make tables of a round again, and what is made together with them, however finished they are.

        Raises:
            ConfigError: When no job makes them in such a round.
        """
        names = ("bootstrap", "served_bootstrap") if round == BOOTSTRAP else ("one_round", "ablation")
        jobs = [self._definitions.resolve_job_def(name) for name in names]
        makes = [{key.to_user_string() for key in job.asset_layer.executable_asset_keys} for job in jobs]
        fitting = [job for job, made in zip(jobs, makes, strict=True) if made >= set(tables)]
        if not fitting:
            known = ", ".join(sorted(set[str]().union(*makes)))
            raise ConfigError(f"again[{round}]: expected some of {known}, got {', '.join(tables)}; correct the names")
        graph = fitting[0].asset_layer.asset_graph
        keys = {key for table in tables for key in graph.get(dg.AssetKey(table)).execution_set_asset_keys}
        self._run_assets(fitting[0], [key for key in graph.toposorted_asset_keys if key in keys], round)

    def _run(self, name: str, round: str) -> None:
        job = self._definitions.resolve_job_def(name)
        wanted = unfinished(self.warehouse, self.profile, job, round)
        graph = job.asset_layer.asset_graph
        done = [key for key in job.asset_layer.executable_asset_keys if key not in wanted]
        self._tell_dagster(done, round)
        for group in GROUPS[name]:
            keys = [key for key in wanted if graph.get(key).group_name == group]
            if keys:
                self._run_assets(job, keys, round)

    def _run_assets(self, job: dg.JobDefinition, keys: list[dg.AssetKey], round: str) -> None:
        require_endpoints(self.profile)
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        config = {
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            "resources": {"warehouse": {"config": {"root": self.warehouse.root}}},
        }
        try:
            job.execute_in_process(
                run_config=config,
                instance=self.instance,
                partition_key=None if round == BOOTSTRAP else round,
                asset_selection=keys,
                tags={PID_TAG: str(os.getpid())},
            )
        except dg.DagsterError as error:
            if failed := self._failed_gates(keys, round):
                raise GateError("\n".join(failed)) from error
            raise

    def _failed_gates(self, keys: list[dg.AssetKey], round: str) -> list[str]:
        names = {key.to_user_string() for key in keys}
        rows = self.warehouse.read_arrow("gate_results", round, columns=["table", "passed", "message"]).to_pylist()
        return [row["message"] for row in rows if row["table"] in names and not row["passed"]]

    def _tell_dagster(self, keys: list[dg.AssetKey], round: str) -> None:
        """Report rows that are in the warehouse, but not in this Dagster history: copied, or its writer was killed."""
        partition = None if round == BOOTSTRAP else round
        for key in keys:
            if partition is None:
                known = self.instance.get_latest_materialization_event(key) is not None
            else:
                known = partition in self.instance.get_materialized_partitions(key)
            if not known:
                told = {"note": "rows were already in the warehouse"}
                event = dg.AssetMaterialization(key, partition=partition, metadata=told)
                self.instance.report_runless_asset_event(event)


@contextlib.contextmanager
def open_runner(root: str | Path, profile: Profile, definitions: dg.Definitions | None = None) -> Iterator[LoopRunner]:
    """A runner over a warehouse, which nobody else runs meanwhile.

    Args:
        root: The warehouse's folder.
        profile: Its profile.
        definitions: Assets and jobs, those of the code location when None.

    Raises:
        ConcurrentWriteError: When another runner works on this warehouse.
    """
    warehouse = Warehouse.open(root)
    lock = exclusive(folder_of(warehouse.root) / ".locks", "runner")
    with ended_by_signals(), lock, opened_instance(warehouse.root) as instance:
        yield LoopRunner(warehouse, profile, instance, definitions or _code_location())


def _code_location() -> dg.Definitions:
    # Dagster loads this file by its path; importing it is for command lines only, so it is done late.
    from jobs.definitions import defs

    return defs
