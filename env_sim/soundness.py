"""Is a task worth training or grading on? One list of findings per task, whatever its format.

    python -m env_sim.soundness tasks.json db.json [--compare list.json]    a Markdown table over a published task file

What it can't see: whether free English means what the gold calls do, beyond what a domain's word rules look for, and
whether a user simulator will follow conditions ("if that is not possible ..."). A task without findings is sound as
far as replay, records and the planner can tell. A task that is already broken is not planned.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from env_sim.domains import load_domain
from env_sim.episode import Episode, run_episode
from env_sim.reward import Scorer
from env_sim.soundness_report import markdown_report
from env_sim.soundness_rules import (
    Case,
    Finding,
    SoundnessKit,
    case_replay_findings,
    goals_differ,
    order_findings,
    pair_findings,
    reference_problem,
)
from env_sim.task_kits import load_task_kit
from env_sim.tau2_tasks import read_cases
from env_sim.world import Database, Domain
from schemas import DatabaseRow, Task

__all__ = ["LOST", "check_case", "check_soundness", "planner_findings"]


LOST = (AssertionError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)
"""What a program that reads the words of one grammar can raise on a model's."""


def check_soundness(
    domain_name: str, databases: Mapping[str, DatabaseRow], task: Task, *, plans: bool = True
) -> list[Finding]:
    """What is wrong with a task of ours; empty when it is sound.

    Args:
        domain_name: The task's domain.
        databases: Databases by id, the task's among them.
        task: The task.
        plans: Whether the planner must find the goal from the words. It reads those of the domain's own grammar; what a
            model has written is read back by a model.
    """
    domain, kit = load_domain(domain_name), load_task_kit(domain_name).soundness
    row = databases.get(task.database_id)
    if row is None:
        return [Finding("unknown_database", f"unknown database {task.database_id}")]
    base = domain.open_database(row)
    problem = reference_problem(domain, base, task)
    writes = task.criteria.writes if problem is None else ()
    findings = [
        *([problem] if problem else []),
        *goals_differ(task),
        *order_findings(domain, base, writes, "strict"),
        *pair_findings(domain, base, writes, "strict", kit.sequences),
        *kit.task_rules(task, base),
    ]
    if not plans or any(finding.severity == "broken" for finding in findings):
        return findings
    return [*findings, *planner_findings(domain, base, task, kit)]


def planner_findings(domain: Domain, base: Database, task: Task, kit: SoundnessKit) -> list[Finding]:
    """Whether a solver that may only listen, ask and look things up reaches the goal, and no other fits the words."""
    planner = kit.planner()
    try:
        episode = run_episode(Episode(task, domain, base), planner)
    except LOST as error:
        return [Finding("goal_not_found", f"the planner can't read the words ({type(error).__name__})")]
    if planner.open_choices:
        return [Finding("several_goals", "; ".join(planner.open_choices))]
    if Scorer(domain).score(episode, 0).success < 1:
        done = ", ".join(f"{write.name} {dict(write.arguments)}" for write in episode.writes) or "no write"
        return [Finding("goal_not_found", f"the planner ended ({episode.stop_reason}) with {done}")]
    return []


def check_case(domain_name: str, base: Database, case: Case) -> list[Finding]:
    """What is wrong with an imported task; empty when nothing was found."""
    domain, kit = load_domain(domain_name), load_task_kit(domain_name).soundness
    return [*case_replay_findings(domain, base, case, kit.sequences), *kit.case_rules(case, base)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report of a published task file."""
    parser = argparse.ArgumentParser(
        prog="python -m env_sim.soundness", description="Findings on a published task file"
    )
    parser.add_argument("tasks", type=Path, help="the benchmark's tasks.json")
    parser.add_argument("database", type=Path, help="the benchmark's db.json")
    parser.add_argument("--domain", default="retail", help="domain of both files (default: %(default)s)")
    parser.add_argument("--compare", type=Path, help="JSON object of task id -> why a person calls it broken")
    options = parser.parse_args(arguments)
    base = load_domain(options.domain).load_database(str(options.database))
    cases = read_cases(json.loads(options.tasks.read_text(encoding="utf-8")))
    found = {case.case_id: check_case(options.domain, base, case) for case in cases}
    known = json.loads(options.compare.read_text(encoding="utf-8")) if options.compare else None
    sys.stdout.write(markdown_report(found, known))
    return 0


if __name__ == "__main__":
    sys.exit(main())
