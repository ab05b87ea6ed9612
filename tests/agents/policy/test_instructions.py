"""Known texts are rows of a table; an unknown one is encoded once and joins the task that it lies nearest to."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable

LIFT, STACK = torch.eye(2, INSTRUCTION_DIM)


def table(encode_text=lambda text: pytest.fail(f"encoded {text!r}")):
    return InstructionTable(["lift", "stack", "pile"], ["Lift", "Stack", "Stack"], _rows(), encode_text)


def _rows():
    return torch.stack([LIFT, STACK, 0.6 * STACK + 0.8 * LIFT.roll(5)])


def test_known_texts_are_looked_up_and_never_encoded():
    assert table().look_up(("stack", "lift", "stack"))[1].tolist() == [1, 0, 1]


def test_on_another_device_the_same_is_looked_up_and_copied_once_until_the_instructions_change():
    known = table(lambda text: LIFT)
    there = torch.device("meta")
    embeddings, rows = known.look_up_on(("stack", "lift"), there)
    assert embeddings.shape == (3, INSTRUCTION_DIM)
    assert (embeddings.device, rows.device, rows.shape) == (there, there, (2,))
    again = known.look_up_on(("stack", "lift"), there)
    assert again[0] is embeddings
    assert again[1] is rows
    assert known.look_up_on(("stack",), there)[1].shape == (1,)
    assert known.look_up_on(("stack", "raise it"), there)[0].shape == (4, INSTRUCTION_DIM)
    assert known.look_up_on(("stack",), torch.device("cpu"))[1].tolist() == [1]


def test_tasks_are_named_once_in_the_order_of_their_texts():
    assert table().tasks == ("Lift", "Stack")
    assert table().task_of("pile") == "Stack"


def test_an_unknown_text_is_encoded_once_and_gets_a_row_of_its_own():
    spoken = []
    known = table(lambda text: spoken.append(text) or (0.1 * LIFT + 0.9 * STACK))
    assert known.look_up(("lift", "heap up", "heap up"))[1].tolist() == [0, 3, 3]
    embeddings, rows = known.look_up(("heap up",))
    torch.testing.assert_close(embeddings[rows[0]], 0.1 * LIFT + 0.9 * STACK)
    assert spoken == ["heap up"]
    assert known.task_of("heap up") == "Stack"


def test_what_is_learned_later_is_not_part_of_what_a_checkpoint_stores():
    known = table(lambda text: LIFT)
    known.look_up(("raise it",))
    assert known.texts == ("lift", "stack", "pile")
    assert known.embeddings.shape == (3, INSTRUCTION_DIM)


def test_a_table_that_knows_nothing_refuses_every_text():
    with pytest.raises(ValueError, match="knows no instructions"):
        InstructionTable.empty().look_up(("lift",))


@pytest.mark.parametrize(
    ("texts", "tasks", "rows", "message"),
    [
        (["a", "a"], ["A", "B"], 2, "given twice"),
        (["a", "b"], ["A"], 2, "got 2 texts, 1 tasks"),
        (["a", "b"], ["A", "B"], 3, r"embeddings \(3, 384\)"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(texts, tasks, rows, message):
    with pytest.raises(ValueError, match=message):
        InstructionTable(texts, tasks, torch.zeros(rows, INSTRUCTION_DIM))
