"""Templates: the suite's own hold the paper's examples; every mistake in a file is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from pod.templates import SLOTS, Template, Templates, load_templates, parse_templates

# POD sections 4.2.1 and 4.2.2.
QUOTED = {
    "sequential": "Here is the purchase history list of {}: {}. Try to recommend next item to the user",
    "topn": "We want to make recommendation for {}. Select the best item from these candidates: {}",
}
GOOD = """
[explanation]
bare = "{user} {item}"
worded = ["why {item} for {user}?"]

[sequential]
bare = "{user} {history}"
worded = [{ text = "{history}: next for {user}", join = ", " }]

[topn]
bare = "{user} {candidates}"
"""


@pytest.fixture(scope="module")
def own() -> Templates:
    return load_templates()


def test_the_papers_examples_come_first(own: Templates):
    for task, wanted in QUOTED.items():
        assert own.worded[task][0].fill("user_12", ["item_1", "item_2"]) == wanted.format("user_12", "item_1, item_2")


def test_every_task_has_a_bare_and_enough_worded_ones(own: Templates):
    for task in SLOTS:
        assert own.bare[task].fill("user_12", ["item_1", "item_2"]) == "user_12 item_1 item_2"
        assert own.of(task)[0] is own.bare[task]
        assert 8 <= len(own.worded[task]) <= 10
        assert len({template.text for template in own.of(task)}) == 1 + len(own.worded[task])


def test_quotes_stand_in_the_paper(shared: Path):
    paper = " ".join((shared / "paper" / "pod-cikm23.txt").read_text().split())
    assert (
        "Here is the purchase history list of user_{user_id}: {purchase_history}. Try to recommend next item to"
        in paper
    )
    assert "We want to make recommendation for user_{user_id}. Select the best item from these candidates:" in paper


@given(st.sampled_from(["{user} x {item}", "a {item}, b {user} c"]), st.lists(st.sampled_from("ab"), max_size=3))
def test_fill_is_replacing_the_slots(text: str, items: list[str]):
    template = Template("explanation", text, " + ")
    assert template.fill("U", items) == text.replace("{user}", "U").replace("{item}", " + ".join(items))
    assert template.user_first == (text.index("{user}") < text.index("{item}"))


def test_a_file_is_read_and_its_digest_is_of_every_wording(tmp_path: Path, own: Templates):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    found = load_templates(path)
    assert found == parse_templates(GOOD, "x")
    assert found.worded["sequential"] == (Template("sequential", "{history}: next for {user}", ", "),)
    assert found.worded["topn"] == ()
    digests = {found.digest, own.digest}
    for old, new in (("why", "Why"), ('", "', '" , "'), ("?", "")):
        digests.add(parse_templates(GOOD.replace(old, new, 1), "x").digest)
    assert len(digests) == 5
    assert parse_templates(f"# a comment\n{GOOD}", "y").digest == found.digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[topn]", "[top]", r"mine, top: unknown task 'top'; the tasks are explanation, sequential, topn"),
        ("[topn]", "[sequential.x]", r"mine, topn: no templates for topn"),
        ('bare = "{user} {candidates}"', "", r"mine, topn.bare: no bare template; add bare = '{user} {candidates}'"),
        ("{user} {candidates}", "{user} {history}", r"mine, line 11, topn.bare: unknown slot '{history}'"),
        ("{user} {candidates}", "{user}", r"mine, line 11, topn.bare: slot '{candidates}' is missing"),
        ("{user} {candidates}", "{user} {candidates} {user}", r"line 11, topn.bare: slot '{user}' stands twice"),
        ("{user} {candidates}", "rank {user} {candidates}", r"line 11, topn.bare: the bare template holds words"),
        ("why {item}", "why } {item}", r"line 4, explanation.worded\[0\]: a brace"),
        ("why {item}", "why not_this {item}", r"line 4, explanation.worded\[0\]: an underscore"),
        ("{item} for {user}", "{item}/{user}", r"line 4, explanation.worded\[0\]: two ids in one word"),
        ("{user}?", "{user}5", r"line 4, explanation.worded\[0\]: a digit right after an id"),
        ('", "', '"," ', r"line 8, sequential.worded\[0\]: two ids in one word"),
        ('", "', "7", r"sequential.worded\[0\]: join is not text"),
        ("join =", "glue =", r"sequential.worded\[0\]: not a template"),
        ('["why {item} for {user}?"]', '"why {item} for {user}?"', r"explanation.worded: not a list"),
        ('["why {item} for {user}?"]', "[3]", r"explanation.worded\[0\]: not a template"),
        ("worded = [{", "words = [{", r"line 8, sequential.words: unknown field"),
        ("[topn]", "[topn", r"mine: not TOML"),
    ],
)
def test_mistakes_are_named_with_their_place(old: str, new: str, message: str):
    assert old in GOOD
    with pytest.raises(UserError, match=message):
        parse_templates(GOOD.replace(old, new, 1), "mine")


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read"):
        load_templates(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes("[explanation]\nbare = 'für'".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_templates(tmp_path / "latin.toml")
