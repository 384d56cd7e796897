from __future__ import annotations

import pytest

from transfer_kit.cli.licences import in_a_word


@pytest.mark.parametrize(
    ("licence", "word"),
    [
        ("CC0-1.0", "open"),
        ("CC BY 3.0", "open"),
        ("CC-BY-SA-4.0", "open"),
        ("MIT", "open"),
        ("Apache-2.0", "open"),
        ("CC BY-NC-SA 4.0", "non-commercial"),
        ("PolyForm Noncommercial 1.0", "non-commercial"),
        ("CC BY-ND 4.0", "CC BY-ND 4.0"),
        ("research only", "research only"),
        ("private", "private"),
        ("unstated", "unstated"),
        ("unstated (treat as research only)", "unstated"),
        ("ask the tumour board of our hospital first", "restricted"),
        ("mitigated access, ask first", "restricted"),
        ("", ""),
    ],
)
def test_a_licence_is_told_in_a_word(licence, word):
    assert in_a_word(licence) == word


@pytest.mark.parametrize(
    ("joined", "word"),
    [
        ("CC BY 4.0 + CC0-1.0", "open"),
        ("CC BY 4.0 + CC BY-NC-SA 4.0", "non-commercial"),
        ("CC BY 4.0 + private", "private"),
        ("CC BY-NC-SA 4.0 + unstated (treat as research only)", "restricted"),
    ],
)
def test_of_several_licences_the_narrowest_counts(joined, word):
    assert in_a_word(joined) == word
    assert in_a_word(" + ".join(reversed(joined.split(" + ")))) == word
