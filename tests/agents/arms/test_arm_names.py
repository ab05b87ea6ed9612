"""Arms are told apart by what their records say, never by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from flow_rag_vla.agents.arms.registry import all_arms

CHECKOUT = Path(__file__).parents[3]
CODE = ("tasks", "agents", "memory", "benchmark", "reports", "scripts")
CATALOGUE = CHECKOUT / "agents/arms/catalogue.py"

NAMES = {arm.name for arm in all_arms()}
UNMISTAKABLE = re.compile(r"(?<![\w-])(" + "|".join(name for name in sorted(NAMES) if "_" in name) + r")(?!\w)")
"""Names that mean an arm wherever they stand; the others are also plain words."""
QUOTED = re.compile(r"""(["'])(\w+)\1""")


def arms_named_in(source: str) -> list[str]:
    """String constants of ``source`` that name an arm, docstrings left out."""
    tree = ast.parse(source)
    bodies = [body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list)]
    docs = {id(line.value) for body in bodies for line in body if isinstance(line, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    texts = [node.value for node in constants if isinstance(node.value, str)]
    return [text for text in texts if text in NAMES or UNMISTAKABLE.search(text)]


def arms_named_in_template(source: str) -> list[str]:
    """Words of a report's template that name an arm: unmistakable ones, and quoted ones."""
    return UNMISTAKABLE.findall(source) + [text for _, text in QUOTED.findall(source) if text in NAMES]


def test_no_arm_reads_how_much_harm_is_allowed():
    for folder in ("agents", "memory"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            assert not [n for n in nodes if isinstance(n, ast.Attribute) and n.attr == "max_harm"], path


def test_names_are_found_in_templates():
    source = """{{ "flow_only" ~ '!' }} {% if arm == 'parallel' %} vs_flow_only, in parallel: rag_only {% endif %}"""
    assert arms_named_in_template(source) == ["flow_only", "rag_only", "flow_only", "parallel"]


def test_names_are_found_in_code_and_not_in_docstrings():
    source = (
        '"""As ``flow_only`` does."""\nif arm == "parallel" or arm in ("a", "flow_only"):\n    x = "parallel lines"\n'
    )
    assert arms_named_in(source) == ["parallel", "flow_only"]


def test_arms_are_named_in_their_catalogue_alone():
    modules = [path for folder in CODE for path in sorted((CHECKOUT / folder).rglob("*.py")) if path != CATALOGUE]
    named = {str(path): found for path in modules if (found := arms_named_in(path.read_text(encoding="utf-8")))}
    templates = [path for folder in CODE for path in sorted((CHECKOUT / folder).rglob("*.j2"))]
    assert templates
    named |= {str(path): found for path in templates if (found := arms_named_in_template(path.read_text("utf-8")))}
    assert not named
