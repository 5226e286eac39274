"""What the rulebook monitor has to know of the airline: which tools do what.

Customers say their own user id; nothing else finds them. Whether a wish is one that the tools serve is not understood
yet, so a needless transfer is noted only where the customer had just said yes to something else.
"""

from env_sim.domains.airline.write_tools import ParityEnvironment
from env_sim.monitor import RuleSpec

__all__ = ["RULES", "WRITES"]

WRITES = frozenset(name for name, tool in ParityEnvironment.tools.items() if tool.writes)

RULES = RuleSpec(
    identifies=frozenset({"get_user_details"}),
    writes=WRITES,
    transfers=frozenset({"transfer_to_human_agents"}),
    without_data=frozenset(
        {"calculate", "get_flight_status", "list_all_airports", "search_direct_flight", "search_onestop_flight"}
    ),
    owner="user_id",
    records={"reservation_id": "reservations"},
)
