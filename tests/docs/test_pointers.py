"""Every pointer that leads nowhere is found, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from pointers import House, page_mistakes, source_mistakes

GOOD_PAGE = """# Tools & how-to (all)

See [the tools](tools/README.md#use-it-2), [below](#tools--how-to-all) and ![its picture](tools/picture.svg "so").

| `scripts/saw.py --teeth N` | cuts; `saw.py` writes `outputs/planks.csv` and `tasks/<name>/` |
| `tasks/wood.py`, `tasks/` | `flow_rag_vla.tasks.wood.Plank` |

    ./isaaclab.sh -p scripts/saw.py --teeth 3 \\
        --help key=value a.key=1      # `[no link](here.md)`

```
python scripts/saw.py --teeth 4
```
"""
BAD_PAGE = """# One

[gone](tools/gone.md), [no heading](tools/README.md#use-it-3), [mine](#two), [written](outputs/planks.csv),
[out](../secret.md) and ![no picture](tools/none.svg)

`tasks/iron.py`, `tasks/steel/`, `iron.py`, `--angle`, `flow_rag_vla.tasks.wood.Beam`, `flow_rag_vla.tasks.iron`

    ./isaaclab.sh -p scripts/saw.py --teeth 3 \\
        --angle 4 a.kee=1
    ./isaaclab.sh -p scripts/plane.py
"""
SOURCE = '''"""As ``tasks/wood.py`` and CONTRIBUTING.md say, and ``tasks/iron.py`` and ``IRON.md`` do not.

./isaaclab.sh -p scripts/saw.py --teeth 3 --angle 4  # see iron.py
"""
print(f"tasks/{name}.py: record it with scripts/saw.py --teeth {number}")
'''


@pytest.fixture
def workshop(tmp_path: Path) -> House:
    """A checkout of few files: a script with one flag, a module with one class."""
    files = {
        "scripts/saw.py": "",
        "tasks/__init__.py": "",
        "tasks/wood.py": "class Plank: ...",
        "tools/README.md": "## Use it\n# Other\n## Use it\n## `Use` *it*!\n    # Use it\n",
        "tools/picture.svg": "",
        "outputs/planks.csv": "",
        "page.md": GOOD_PAGE,
    }
    for name, text in files.items():
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_text(text)
    (tmp_path / "secret.md").write_text("")
    return House(tmp_path / "shop", {"scripts/saw.py": {"--teeth"}}, {"scripts/saw.py": {"key", "a"}})


def test_a_page_whose_pointers_are_right_has_no_mistakes(workshop: House) -> None:
    assert page_mistakes(workshop.root / "page.md", workshop) == []


def test_every_wrong_pointer_of_a_page_is_a_mistake(workshop: House) -> None:
    (workshop.root / "page.md").write_text(BAD_PAGE)
    assert page_mistakes(workshop.root / "page.md", workshop) == [
        "link 'tools/gone.md': no such file",
        "link 'tools/README.md#use-it-3': no such heading",
        "link '#two': no such heading",
        "link 'outputs/planks.csv': is not in the checkout",
        "link '../secret.md': is not in the checkout",
        "link 'tools/none.svg': no such file",
        "line 6: tasks/iron.py: no such path",
        "line 6: tasks/steel/: no such path",
        "line 6: iron.py: no such file",
        "line 6: --angle: no script has it",
        "line 6: flow_rag_vla.tasks.wood.Beam: no such module or name",
        "line 6: flow_rag_vla.tasks.iron: no such module or name",
        "line 8: scripts/saw.py: has no --angle",
        "line 8: scripts/saw.py: has no setting a.kee",
        "line 10: scripts/plane.py: no such path",
        "line 10: scripts/plane.py: no such script",
    ]


def test_wrong_pointers_of_comments_and_messages_are_mistakes(workshop: House) -> None:
    (workshop.root / "tasks/wood.py").write_text(SOURCE)
    assert source_mistakes(workshop.root / "tasks/wood.py", workshop) == [
        "line 1: tasks/iron.py: no such path",
        "line 1: IRON.md: nothing is called so",
        "line 3: scripts/saw.py: has no --angle",
        "line 3: iron.py: nothing is called so",
    ]


def test_a_rooms_row_names_modules_of_that_room(workshop: House) -> None:
    page = workshop.root / "tasks/README.md"
    (workshop.root / "tasks/joints").mkdir()
    (workshop.root / "tasks/joints/dovetail.py").write_text("")
    page.write_text("| [`joints/`](joints) | holds wood | `dovetail`, `mortise`, `glue=1` |\n")
    assert page_mistakes(page, workshop) == ["line 1: joints/ has no mortise"]
