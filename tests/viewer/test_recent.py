from __future__ import annotations

from transfer_kit.viewer.recent import Recent


def test_what_was_not_used_for_longest_goes_first():
    made = []
    kept = Recent[str, str](2)

    def get(name):
        return kept.get(name, lambda: made.append(name) or name)

    for name in ["a", "b", "a", "c", "a", "b"]:
        assert get(name) == name
    assert made == ["a", "b", "c", "b"]


def test_the_weights_of_what_is_kept_stay_within_the_budget():
    kept = Recent[int, bytes](100, len)
    for number in range(50):
        kept.get(number, lambda: bytes(30))
    assert len(kept) == 3


def test_one_value_beyond_the_budget_is_kept_alone():
    kept = Recent[int, bytes](10, len)
    assert len(kept.get(1, lambda: bytes(99))) == 99
    assert len(kept) == 1
