"""What free English says against the gold calls of a published airline task: text evidence, not understanding.

Every rule looks for words or records that must be there if the user's wishes shall lead to the gold calls: the user
id, the reservation or a place on its way, the kind of change, the people, the payment method, the flights. Beside the
words it holds the gold calls against the rulebook, as far as records can tell (`permissions`), and the cheapest
against the prices. What records alone
contradict is `broken`, all else `suspicious`. Not seen at all: conditions ("if it costs less than ..."), sums,
negotiations, what a user simulator makes of "be persistent".
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from env_sim.domains.airline.database import AirlineDatabase
from env_sim.domains.airline.permissions import forbidden, legs
from env_sim.domains.airline.read_tools import AIRPORTS
from env_sim.domains.airline.strict_tools import StrictEnvironment
from env_sim.domains.airline.write_tools import NOW, ParityEnvironment
from env_sim.english import Words
from env_sim.soundness_rules import Case, Finding
from env_sim.world import Database
from schemas import Action

__all__ = ["case_rules"]

JsonObject = Mapping[str, Any]
_Note = tuple[str, str]
"""Rule and evidence."""

_KINDS = {
    "book_reservation": ("book", r"\bbook|\bmake a reservation|\bfly from|\bre ?book"),
    "cancel_reservation": ("cancel", r"\bcancel"),
    "send_certificate": ("compensate", r"compensat|voucher|certificate|refund"),
    "update_reservation_baggages": ("bags", r"\bbag|suitcase|luggage"),
    "update_reservation_flights": ("change", r"\bchang|\bmov|\bupgrad|\bdowngrad|\bpush|\bmodif|\bdelay"),
    "update_reservation_passengers": ("people", r"\bpassenger|\bname"),
    "transfer_to_human_agents": ("transfer", r"\bhuman|\btransfer"),
}
_COVERED = re.compile(r"\b(sick|ill|unwell|health|hospital|weather|storm)\b")
_ALL = re.compile(r"\b(all|every|both|each|future reservations)\b")
_LAST = re.compile(r"\b(last|latest|recent|current|only) (reservation|flight|trip|one)|booked|mixup")
_CHOOSES = re.compile(
    r"cheap|lowest|fastest|shortest|earl(y|ier|iest)|later?\b|latest|exact|same flight|second|"
    r"before|after|between|within"
)
_METHOD_WORDS = {
    "gift_card": r"gift ?card|\bgc\b",
    "credit_card": r"credit ?card|\bcard\b|\bcc\b|visa|master ?card",
    "certificate": r"certificate|voucher",
}
_CITIES = {"JFK": "new york", "LGA": "new york", "EWR": "new york", "DFW": "texas", "IAH": "texas"}
"""Names by which a user may mean an airport, beside its own city."""


def case_rules(case: Case, base: Database) -> list[Finding]:
    """All findings of this module on one published task."""
    if not isinstance(base, AirlineDatabase):
        raise TypeError(f"case_rules[{case.case_id}]: expected an airline database, got {type(base).__name__}")
    words, environment = Words(case.words), ParityEnvironment(base)
    owner = _owner(case, base)
    notes = [*_identity(words, owner), *_foreign(words, owner, base), *_refused_wish(words, case, owner, base)]
    broken: list[_Note] = []
    for write in (action for action in case.reference if action.name in _KINDS):
        kind, pattern = _KINDS[write.name]
        if not words.say(pattern):
            notes.append(("write_not_asked", f"{write.name}, but no word of the wish means {kind}"))
        reason = forbidden(environment, write, covered=bool(_COVERED.search(words.text)))
        if reason:
            # Whether a reason is covered is a matter of words; all else is read from records.
            told = not forbidden(environment, write, covered=True)
            (notes if told else broken).append(("rulebook_forbids_reference", f"{_name(write)}: {reason}"))
        if owner is not None:
            broken += _births(words, write, owner)
            notes += [*_reservation(words, write, owner, base), *_people(words, write, owner, base)]
            notes += [*_flights(words, write, environment), *_payment(words, write, owner, environment)]
        environment.call(write.name, dict(write.arguments))
    broken += _numbers(case, owner, environment)
    return [
        *(Finding(*note) for note in dict.fromkeys(broken)),
        *(Finding(*note, "suspicious") for note in dict.fromkeys(notes)),
    ]


def _name(write: Action) -> str:
    place = write.arguments.get("reservation_id")
    return f"{write.name} {place}" if place else write.name


def _owner(case: Case, base: AirlineDatabase) -> JsonObject | None:
    """The user of the gold calls, or of the first user id or reservation that the words hold."""
    names = re.findall(r"\b[a-z]+_[a-z]+_\d{4}\b|\b[A-Z0-9]{6}\b", case.words)
    named = [str(action.arguments.get(key)) for action in case.reference for key in ("user_id", "reservation_id")]
    for name in [*named, *names]:
        user = base.users.get(base.reservations.get(name, {}).get("user_id", name))
        if user is not None:
            return user
    return None


def _identity(words: Words, owner: JsonObject | None) -> Iterator[_Note]:
    """The rulebook makes the customer give the user id; nothing finds it."""
    if owner is not None and owner["user_id"] not in words.raw:
        yield "identity_not_said", f"{owner['user_id']} is not in the words"


def _foreign(words: Words, owner: JsonObject | None, base: AirlineDatabase) -> Iterator[_Note]:
    for name in sorted(set(re.findall(r"\b[A-Z0-9]{6}\b", words.raw))):
        if owner is not None and name in base.reservations and name not in owner["reservations"]:
            yield "foreign_reservation_said", f"{name} is no reservation of {owner['user_id']}"


def _refused_wish(words: Words, case: Case, owner: JsonObject | None, base: AirlineDatabase) -> Iterator[_Note]:
    """A cancellation of a named reservation that is wished, permitted and not in the gold calls."""
    done = {str(action.arguments.get("reservation_id")) for action in case.reference if "cancel" in action.name}
    environment = ParityEnvironment(base)
    for name in owner["reservations"] if owner and words.say(r"want to cancel|need to cancel") else ():
        cancel = Action(name="cancel_reservation", arguments={"reservation_id": name})
        permitted = not forbidden(environment, cancel, covered=bool(_COVERED.search(words.text)))
        if name in words.raw and name not in done and permitted:
            yield (
                "wish_not_written",
                f"the words want to cancel, the rulebook permits it for {name}, the gold calls don't",
            )


def _reservation(words: Words, write: Action, owner: JsonObject, base: AirlineDatabase) -> Iterator[_Note]:
    """A reservation must be named by id, by a flight, by places on its way, as one of all, or as the last one."""
    reservation = base.reservations.get(str(write.arguments.get("reservation_id")))
    if reservation is None or reservation["reservation_id"] in words.raw or _ALL.search(words.text):
        return
    if _LAST.search(words.text) or len(owner["reservations"]) == 1:
        return
    places = {airport for each in reservation["flights"] for airport in (each["origin"], each["destination"])}
    numbers = {each["flight_number"] for each in reservation["flights"]}
    if not any(number in words.raw for number in numbers) and not any(_says_place(words, place) for place in places):
        yield "reservation_not_said", f"{_name(write)}: the words name neither it nor a place on its way"


def _says_place(words: Words, airport: str) -> bool:
    city = AIRPORTS[airport].lower()
    return airport in words.raw or city in words.text or _CITIES.get(airport, city) in words.text


def _people(words: Words, write: Action, owner: JsonObject, base: AirlineDatabase) -> Iterator[_Note]:
    """A passenger must be said with the date of birth, or stand in the profile or in a reservation of the user."""
    known = [{**owner["name"], "dob": owner["dob"]}, *owner["saved_passengers"]]
    known += [person for key in owner["reservations"] for person in base.reservations[key]["passengers"]]
    passengers: Any = write.arguments.get("passengers", [])
    for person in passengers:
        name = f"{person['first_name']} {person['last_name']}"
        if name.lower() not in words.text and person not in known:
            yield "passenger_not_said", f"{name} is neither in the words nor known to the profile"


def _births(words: Words, write: Action, owner: JsonObject) -> Iterator[_Note]:
    """Nobody says another date of birth of the customer than the profile's."""
    passengers: Any = write.arguments.get("passengers", [])
    for person in passengers:
        names = {key: person[key] for key in ("first_name", "last_name")}
        if names == dict(owner["name"]) and person["dob"] != owner["dob"] and person["dob"] not in words.raw:
            yield "birth_contradicted", f"{_name(write)}: born {person['dob']}, the profile says {owner['dob']}"


def _numbers(case: Case, owner: JsonObject | None, environment: ParityEnvironment) -> Iterator[_Note]:
    """An amount that must be told has to be one that the records or the gold calls lead to.

    Known amounts: what each reservation, and all that stand, have cost; balances by kind; what the gold calls charge by
    reservation, by method, and in all. Small numbers count things and are not looked for.
    """
    told = [text for text in case.graded_words if text.isdigit() and len(text) > 1]
    if owner is None or not told:
        return
    now = environment.record("users", owner["user_id"]) or owner
    held: Any = [environment.record("reservations", key) for key in now["reservations"]]
    cost = [sum(each["amount"] for each in reservation["payment_history"]) for reservation in held]
    charged, by_method = [], Counter[str]()
    for reservation in held:
        old = environment.base.tables["reservations"].get(reservation["reservation_id"], {"payment_history": []})
        new = reservation["payment_history"][len(old["payment_history"]) :]
        charged.append(sum(each["amount"] for each in new))
        if reservation["status"] is None:
            by_method.update({each["payment_id"]: each["amount"] for each in new})
    balances = Counter[str]()
    for method in owner["payment_methods"].values():
        balances[method["source"]] += method.get("amount", 0)
    # "Upcoming" is what stood when the user called, or what stands at the end.
    upcoming = [
        sum(
            sum(each["amount"] for each in reservation["payment_history"])
            for reservation in records
            if reservation["flights"][0]["date"] > NOW[:10] and reservation["status"] is None
        )
        for records in (held, [environment.base.tables["reservations"][key] for key in owner["reservations"]])
    ]
    known = {*cost, *charged, sum(charged), *upcoming, *by_method.values(), *balances.values()}
    for text in told:
        if int(text) not in {abs(int(amount)) for amount in known}:
            yield "number_not_found", f"{text} must be told, but no records and no gold call lead to it"


def _payment(words: Words, write: Action, owner: JsonObject, environment: ParityEnvironment) -> Iterator[_Note]:
    """A method that is charged or refunded must be said by its kind, be the one that paid, or be the only one."""
    methods, said = owner["payment_methods"], []
    if write.name == "book_reservation":
        paid: Any = write.arguments["payment_methods"]
        said = [each["payment_id"] for each in paid]
    elif "payment_id" in write.arguments:
        said = [_charged(write, environment)]
    for method_id in said:
        method = methods.get(method_id)
        if method is None:
            continue
        rivals = [each for each in methods.values() if each["source"] == method["source"] and each is not method]
        held = environment.record("reservations", str(write.arguments.get("reservation_id"))) or {}
        if method_id in [each["payment_id"] for each in held.get("payment_history", ())]:
            continue
        if len(methods) > 1 and not words.say(_METHOD_WORDS[method["source"]]):
            yield "payment_not_said", f"{_name(write)} uses {method_id}, the words name no {method['source']}"
        elif rivals and not _singled_out(words, method_id, method, said):
            yield "payment_open", f"{_name(write)} uses {method_id}, {rivals[0]['id']} is of the same kind"


def _charged(write: Action, environment: ParityEnvironment) -> str:
    """The method that the write charges or pays back; empty for a change that costs nothing."""
    trial = ParityEnvironment(environment.base)
    for done in [*environment.writes, write]:
        before = trial.record("reservations", str(write.arguments["reservation_id"])) or {"payment_history": []}
        trial.call(done.name, dict(done.arguments))
    after = trial.record("reservations", str(write.arguments["reservation_id"])) or before
    moved = len(after["payment_history"]) > len(before["payment_history"])
    return str(write.arguments["payment_id"]) if moved else ""


def _singled_out(words: Words, method_id: str, method: JsonObject, said: Sequence[str]) -> bool:
    """Whether words tell a method from others of its kind: by number, amount, size, or since all are used."""
    if method_id in words.raw or method.get("last_four", "?") in words.raw or method.get("brand", "?") in words.text:
        return True
    return words.say(r"small|larg|big|as much as possible|\ball\b|certificates|master ?card") or len(said) > 1


def _flights(words: Words, write: Action, environment: ParityEnvironment) -> Iterator[_Note]:
    """New flights of a way must be said, be the only nonstop ones, or be singled out by time or price."""
    chosen: Any = write.arguments.get("flights", [])
    held = environment.record("reservations", str(write.arguments.get("reservation_id"))) or {"flights": []}
    old = [(each["flight_number"], each["date"]) for each in held["flights"]]
    base: Any = environment.base
    segments = [{**base.flights[each["flight_number"]], "date": each["date"]} for each in chosen]
    there = str(write.arguments.get("destination") or held.get("destination", ""))
    for leg in legs(segments, there):
        if all((each["flight_number"], each["date"]) in old for each in leg):
            continue
        cabin, date = str(write.arguments["cabin"]), leg[0]["date"]
        ways = dict(_ways(base, leg[0]["origin"], leg[-1]["destination"], date, cabin))
        gold = tuple(each["flight_number"] for each in leg)
        direct = [way for way in ways if len(way) == 1 and way != gold]
        route = f"{leg[0]['origin']}-{leg[-1]['destination']} on {date}"
        if words.say(r"cheap|lowest price") and not words.say(r"second cheap|before|after|between") and ways:
            least = min(ways, key=lambda way: (ways[way], way))
            if ways[least] < ways.get(gold, 0):
                yield (
                    "not_the_cheapest",
                    f"{route}: {'+'.join(gold)} costs {ways[gold]}, {'+'.join(least)} {ways[least]}",
                )
        elif not any(number in words.raw for number in gold) and not _CHOOSES.search(words.text):
            rivals = direct if words.say("non ?stop|direct") else [way for way in ways if way != gold]
            if rivals:
                yield "flight_open", f"{route}: {'+'.join(gold)}, {'+'.join(rivals[0])} fits as well"


def _ways(
    base: AirlineDatabase, origin: str, destination: str, date: str, cabin: str
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Nonstop and one-stop ways of a day with a free seat, with their price for one."""
    environment = StrictEnvironment(base)
    numbers = [(number,) for number in environment.direct_flights(date, origin, destination)]
    for first in environment.direct_flights(date, origin, None):
        flight = base.flights[first]
        next_date, after = environment.connection(date, flight["scheduled_arrival_time_est"])
        onward = environment.direct_flights(next_date, flight["destination"], destination, after)
        numbers += [(first, second) for second in onward if next_date == date]
    for way in numbers:
        days = [base.flights[number]["dates"][date] for number in way]
        if all(day["available_seats"][cabin] > 0 for day in days):
            yield way, sum(day["prices"][cabin] for day in days)
