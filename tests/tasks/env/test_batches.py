"""Plans cut to the size of a fleet."""

from __future__ import annotations

import pytest

from flow_rag_vla.tasks.env.batches import Batch, batches, padded


def test_a_short_batch_is_filled_up_with_copies_of_its_first_entry():
    assert padded("ab", 4) == ["a", "b", "a", "a"]


def test_a_full_batch_stays_as_it_is():
    assert padded((3, 1), 2) == [3, 1]


@pytest.mark.parametrize("entries", [[], [1, 2, 3]])
def test_what_does_not_fit_the_fleet_is_refused(entries):
    with pytest.raises(ValueError, match=f"expected 1 to 2 entries for as many environments, got {len(entries)}"):
        padded(entries, 2)


def test_batches_hold_every_entry_once_and_only_the_last_is_padded():
    assert list(batches("abcde", 2)) == [
        Batch(0, ["a", "b"], ["a", "b"]),
        Batch(2, ["c", "d"], ["c", "d"]),
        Batch(4, ["e"], ["e", "e"]),
    ]


def test_a_batch_knows_how_much_is_done_with_it():
    assert [batch.end for batch in batches(range(5), 2)] == [2, 4, 5]


def test_nothing_planned_is_no_batch():
    assert not list(batches([], 2))
