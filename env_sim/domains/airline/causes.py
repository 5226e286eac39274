"""Why agents fail at the airline: what a wrong value means, and what made a wish hard."""

import re

from env_sim.causes import Cause, Missing, WrongWrite

__all__ = ["AirlineCauses"]

_ROUTE = re.compile(r"my trip from [a-z]{3} to [a-z]{3}")
_PAID_FOR = "payment method of my trip"


class AirlineCauses:
    """Read from arguments and words."""

    def of_wrong_write(self, failed: WrongWrite) -> Cause | None:
        """Why another value was taken; None where only its name is known."""
        done, meant, wrong = failed.done.arguments, failed.meant.arguments, failed.wrong
        if "reservation_id" in wrong:
            which = f"it acted on reservation {done.get('reservation_id')} but {meant['reservation_id']} was meant"
            return _wrong_reservation(failed, which)
        if "nonfree_baggages" in wrong and "total_baggages" not in wrong:
            text = (
                f"The agent charged for the wrong number of bags: {done.get('nonfree_baggages')} where "
                f"{meant['nonfree_baggages']} cost the fee and the others were free."
            )
            return Cause("wrong_fee", text)
        if "flights" in wrong and failed.untold("date"):
            text = "The agent picked some day for the flights instead of asking the user which one is wanted."
            return Cause("date_not_asked", text)
        if wrong & {"payment_id", "payment_methods"} and _PAID_FOR in failed.said:
            text = "The agent took the payment method from the wrong record: not the one that paid for the other trip."
            return Cause("wrong_payment", text)
        return None

    def of_rest(self, failed: Missing) -> Cause | None:
        """Nothing but the end of the talk leaves a wish after others."""

    def of_missing(self, failed: Missing) -> Cause:
        """What stood in the way when no wish was carried out."""
        scenario, goal = failed.task.scenario, failed.goal
        if scenario.goals[0].action is None:
            text = "the first request was refused by the rules and the alternative trip was not taken up"
            return Cause("infeasible_pushed", text)
        if scenario.raised_in_opening > 1:
            return Cause("ended_early", "the user had several wishes at once and the agent lost track of them")
        if goal.change:
            return Cause("stale_intent", "the user changed their mind and the agent did not follow")
        if failed.untold("reservation"):
            return Cause("reservation_not_asked", "several trips fitted and the agent did not ask which one")
        if failed.untold("date"):
            return Cause("date_not_asked", "the new day was open and the agent did not ask which one")
        if _PAID_FOR in failed.said:
            return Cause("wrong_payment", "the payment method had to be taken from another trip's record")
        if _ROUTE.search(failed.said):
            return Cause("lost_in_search", "the trip had to be searched among several by its route")
        if "my trip from" in failed.said:
            return Cause("wrong_reservation", "the right trip among several had to be found by a hint")
        if failed.meant.arguments.get("nonfree_baggages"):
            return Cause("wrong_fee", "which of the bags cost the fee had to be found out")
        return Cause("other", "the request was plain")


def _wrong_reservation(failed: WrongWrite, which: str) -> Cause:
    if failed.untold("reservation"):
        text = f"Several trips of the user fitted and the agent guessed instead of asking which one: {which}."
        return Cause("reservation_not_asked", text)
    if _ROUTE.search(failed.said):
        text = f"The agent did not find the trip by the route that the user had said: {which}."
        return Cause("lost_in_search", text)
    text = f"The agent picked the wrong trip among several although the user gave a hint about it: {which}."
    return Cause("wrong_reservation", text)
