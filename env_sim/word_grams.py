"""Runs of words as short hashes: whether a text repeats a published benchmark's, without shipping the benchmark.

`python -m env_sim.word_grams TASKS.json > env_sim/domains/NAME/tau2_word_grams.txt` makes a domain's list from tau2's
task file: the grams of all that its users are told.
"""

import json
import re
import sys
from hashlib import blake2b
from pathlib import Path

from env_sim.tau2_tasks import read_cases

__all__ = ["N_WORDS", "WORD", "hashed_grams"]

N_WORDS = 5
"""Words of a gram: shorter ones are shared by any two requests of one kind, longer ones break at every changed word."""

WORD = r"[#\w]+"
"""A word, order numbers included."""

_BYTES = 4
"""Of a hash: with 7,000 of them known, one gram in 600,000 is taken for a known one by chance."""


def hashed_grams(text: str) -> frozenset[str]:
    """Hashes of the text's word 5-grams, upper and lower case alike, as eight hexadecimal digits each."""
    words = re.findall(WORD, text.lower())
    grams = (" ".join(words[start : start + N_WORDS]) for start in range(len(words) - N_WORDS + 1))
    return frozenset(blake2b(gram.encode(), digest_size=_BYTES).hexdigest() for gram in grams)


def main(path: str) -> str:
    """The file of a domain's published grams, sorted."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    grams: set[str] = set()
    for case in read_cases(content):
        grams |= hashed_grams(case.words)
    head = (
        f"// Hashes of {len(grams)} word 5-grams of what tau2-bench's users are told: tasks repeat none of its texts."
    )
    listed = sorted(grams)
    return "\n".join([head, *(" ".join(listed[start : start + 12]) for start in range(0, len(listed), 12))]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]))
