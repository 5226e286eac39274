"""An index of keys finds what a dictionary finds, in a fraction of its memory."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from schemas import key_index
from schemas.key_index import KeyIndex


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2**64 - 1))), st.integers(1, 7))
def test_it_finds_what_a_dictionary_of_first_places_finds(pairs: list[tuple[str, int]], n_recent: int) -> None:
    key_index._RECENT, kept = n_recent, key_index._RECENT
    try:
        index, known = KeyIndex(), dict[str, int]()
        for key, place in pairs:
            index.add(key, place)
            known.setdefault(key, place)
            assert index.get(key) == known[key]
        assert len(index) == len(known)
        assert all(index.get(key) == place for key, place in known.items())
        assert index.get("none of these") is None
    finally:
        key_index._RECENT = kept


def test_a_hundred_thousand_keys_take_less_than_two_and_a_half_megabytes() -> None:
    tracemalloc.start()
    try:
        index = KeyIndex()
        for number in range(100_000):
            index.add(f"call-{number:032x}", number)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(index) == 100_000 and held < 2_500_000
