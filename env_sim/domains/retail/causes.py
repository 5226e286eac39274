"""Why agents fail in the shop: what a wrong value means, and what made a wish hard."""

import json
import re

from env_sim.causes import Cause, Missing, WrongWrite
from schemas import Action, Goal, Trajectory

__all__ = ["RetailCauses"]


class RetailCauses:
    """Read from arguments, words and records shown."""

    def of_wrong_write(self, failed: WrongWrite) -> Cause | None:
        """Why another value was taken; None where only its name is known."""
        goal, done, meant, wrong = failed.goal, failed.done.arguments, failed.meant.arguments, failed.wrong
        if wrong & {"order_id", "item_ids"} and failed.in_one_sentence:
            text = (
                "The user had named things of several orders in one sentence, and the agent mixed up what is in which."
            )
            return Cause("mixed_orders", text)
        if "order_id" in wrong:
            return _wrong_order(failed)
        if "item_ids" in wrong and failed.untold("item"):
            text = f"The agent took {done.get('item_ids')} without asking which of several things was meant."
            return Cause("ambiguous_name", text)
        if wrong & _told_otherwise(goal, failed.meant, failed.trajectory):
            text = f"The agent misread a value that the user had put in other words: {', '.join(sorted(wrong))}."
            return Cause("invalid_value", text)
        if "item_ids" in wrong:
            text = (
                f"The agent handled the wrong items of order {meant['order_id']}: it took "
                f"{done.get('item_ids')} where the user had named {meant['item_ids']}."
            )
            return Cause("mixed_items", text)
        if "new_item_ids" in wrong:
            return _wrong_variant(failed)
        if "payment_method_id" in wrong:
            text = "The agent took the payment method from the wrong record: not the method that the user had named."
            return Cause("wrong_payment", text)
        if any(key.startswith("address") or key == "zip" for key in wrong):
            text = "The agent took the address from the wrong record: not the address that the user had named."
            return Cause("wrong_address", text)
        return None

    def of_rest(self, failed: Missing) -> Cause | None:
        """Why this wish was left after others had been carried out."""
        text = "The agent handled one of the things in several orders and left the other one undone"
        return Cause("mixed_orders", text) if failed.in_one_sentence else None

    def of_missing(self, failed: Missing) -> Cause:
        """What stood in the way when no wish was carried out."""
        return _late_obstacle(failed) or _obstacle(failed)


def _wrong_order(failed: WrongWrite) -> Cause:
    taken, right = failed.done.arguments.get("order_id"), failed.meant.arguments["order_id"]
    which = f"it acted on order {taken} but {right} was meant"
    if failed.untold("order"):
        text = f"The user had several orders that fit and the agent guessed instead of asking which order: {which}."
        return Cause("order_not_asked", text)
    if failed.goal.remarks:
        text = f"The agent kept to its guess at the order although the user gave a hint about it later: {which}."
        return Cause("hint_late", text)
    text = f"The agent picked the wrong order among several although the user gave a hint about it: {which}."
    return Cause("wrong_order", text)


def _wrong_variant(failed: WrongWrite) -> Cause:
    taken, right = failed.done.arguments.get("new_item_ids"), failed.meant.arguments["new_item_ids"]
    which = f"it chose item {taken} where {right} was wanted"
    if failed.untold("variant"):
        text = f"The agent guessed a product variant instead of asking the user which option is wanted: {which}."
        return Cause("variant_not_asked", text)
    text = f"The agent chose a variant whose options differ from what the user wanted to keep or change: {which}."
    return Cause("wrong_variant", text)


def _late_obstacle(failed: Missing) -> Cause | None:
    """What stood in the way in the course of the talk, or in words that no tool takes."""
    goal, heard = failed.goal, failed.heard
    if goal.hesitation and goal.hesitation in heard and heard.endswith("bye."):
        text = "the user answered the listing with neither yes nor no and it was not listed again"
        return Cause("not_confirmed", text)
    if any(remark.text in heard for remark in goal.remarks):
        return Cause("hint_late", "the user gave a hint at the first listing and the agent did not follow it")
    if failed.in_one_sentence:
        text = "things of several orders were named in one sentence, each order needing its own change"
        return Cause("mixed_orders", text)
    if failed.untold("item"):
        text = "several things of the order fitted the name and the agent did not ask which one"
        return Cause("ambiguous_name", text)
    if _told_otherwise(goal, failed.meant, failed.trajectory):
        return Cause("invalid_value", "a value was told in other words than the tool takes")
    return None


def _obstacle(failed: Missing) -> Cause:
    """What made the wish hard, as the request and its facts show."""
    scenario = failed.task.scenario
    if scenario.goals[0].action is None:
        text = "the first request was refused by the rules and the alternative was not taken up"
        return Cause("infeasible_pushed", text)
    if scenario.raised_in_opening > 1:
        return Cause("ended_early", "the user had several wishes at once and the agent lost track of them")
    if failed.goal.change:
        return Cause("stale_intent", "the user changed their mind and the agent did not follow")
    if failed.untold("order"):
        return Cause("order_not_asked", "several orders fitted and the agent did not ask which order")
    if failed.untold("variant"):
        text = "the wanted option was open and the agent did not ask which variant"
        return Cause("variant_not_asked", text)
    return _obstacle_in_words(failed.said, failed.meant)


def _obstacle_in_words(said: str, missing: Action) -> Cause:
    if "payment method of" in said:
        return Cause("wrong_payment", "the payment method had to be taken from another order's record")
    if "the address of" in said:
        return Cause("wrong_address", "the address had to be taken from another order's record")
    items = missing.arguments.get("item_ids")
    if isinstance(items, list) and len(items) > 1:
        return Cause("mixed_items", "several items of one order had to be handled together")
    if "everything else the same" in said or "the same one but" in said:
        return Cause("wrong_variant", "the variant had to keep all other options")
    if "#w" in said or "order_id" not in missing.arguments:
        return Cause("other", "the request was plain")
    if any(phrase in said for phrase in ("also has", " too.", "also bought")):
        return Cause("wrong_order", "the right order among several had to be found by a hint")
    return Cause("lost_in_search", "the order had to be searched among many records")


def _told_otherwise(goal: Goal, meant: Action, trajectory: Trajectory) -> set[str]:
    """Arguments whose values the request tells in words that the tool does not take."""
    said, arguments, found = goal.request.lower(), meant.arguments, set[str]()
    if "reason" in arguments and not re.search(r" need|mistake", said) and not goal.change:
        found.add("reason")
    if "home address" in said and "#w" in f"{said} {meant.arguments.get('order_id', '')}".lower():
        found |= {key for key in arguments if key not in ("order_id", "user_id")}
    new = arguments.get("new_item_ids")
    in_full = re.search(r"\b(?:for|to) the (?!same)[^.,]+ one\b", said) and not goal.change
    untold = any(detail.topic == "variant" for detail in goal.details)
    if isinstance(new, list) and len(new) == 1 and in_full and not untold:
        values = _options(trajectory, str(new[0]))
        # A hyphen joins: `battery-powered` does not say the value `battery`.
        if any(not re.search(rf"(?<![\w-]){re.escape(value.lower())}(?![\w-])", said) for value in values):
            found.add("new_item_ids")
    return found


def _options(trajectory: Trajectory, variant: str) -> list[str]:
    """The option values of a variant, as a tool has shown them; empty when none has."""
    for message in trajectory.messages:
        if message.role == "tool" and not message.error and f'"{variant}": {{' in message.content:
            shown = json.loads(message.content).get("variants", {}).get(variant, {})
            return [str(value) for value in shown.get("options", {}).values()]
    return []
