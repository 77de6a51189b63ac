"""Parts of the page that rules on a shop do not fill: claims, explanations, Figure 4, strategies, the audit."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from explained_world import RECORDS, TEST_TEXTS, explained_split
from made_up import Bench, LlmSettings, card, info, tied

from bench.metrics.significance import Effect
from bench.report.comparisons import Comparison, Measured, Standing
from bench.report.page.browse import explanations_section
from bench.report.page.claims import comparisons_section, verdicts_section
from bench.report.page.contents import Contents
from bench.report.page.figures import figure_sections, k_curves
from bench.report.page.runs import runs_section
from bench.report.page.summary import in_words, summary
from bench.report.specs import TABLES, Question, TableSpec
from bench.report.table import Cell, Panel, Row, Table
from bench.report.verdicts import VERDICT_COLUMNS, write_verdicts
from bench.runs.predictions import EXPLANATIONS

TWO = TABLES["2"]


class Rows(HTMLParser):
    """The cells of every row, and all text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.rows, self.text, self._inside = [], "", False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data):
        self.text += data
        if self._inside:
            self.rows[-1][-1] += data


def prompted(own, *, overrides=None, variants=("1", "3")):
    """A plan of POD in which runs differ in K."""
    made = Bench([info("pod", "POD", settings=tied("scratch:none", prompts="", epochs=9))], {"pod": own})
    plan = replace(made.plan, overrides=overrides or {})
    entries = [replace(entry, variant=value) for entry in plan.entries for value in variants]
    return replace(plan, entries=entries)


def figures(**values):
    """Table 2's figures under sound: model -> value of each metric."""
    return tuple(
        Measured("sound", model, metric, value, value - 0.002, value + 0.003, 22360, (value,))
        for model, value in values.items()
        for metric in TWO.metrics
    )


def comparison(metric="HR@10", **more):
    values = {"difference": -0.0123, "low": -0.02, "high": -0.004, "p": 0.001, "p_holm": 0.0081}
    values |= {"effect": Effect(-0.15, 0.01, 0.03), "n": 22360, "seeds": 2, "baseline_seeds": 3, "test": "a test"}
    return Comparison("sound", metric, "pod", "all", "sasrec", **{**values, **more})


@pytest.fixture
def contents(paper_models, tmp_path):
    """Beauty at preset paper, every run of Table 2 there but BERT4Rec's."""
    made = Bench(paper_models, {model.name: 0.05 for model in paper_models if model.name != "bert4rec"})
    standing = Standing("2", figures(pod=0.0443, sasrec=0.06, popularity=0.01), (comparison(),))
    folder = tmp_path / "beauty" / "paper"
    folder.mkdir(parents=True)
    return Contents(replace(made.plan, preset="paper"), [TABLES["1"], TWO], [], [standing], folder)


def test_every_printed_figure_has_the_verdict_of_the_file(contents):
    read = Rows(verdicts_section(contents))
    write_verdicts(contents.specs, contents.plan, contents.standings, contents.folder)
    with (contents.folder / "verdicts.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == VERDICT_COLUMNS and len(read.rows) == 1 + len(rows)
    titles = {"dataset": "the data set", "pod": "POD", "sasrec": "SASREC", "bert4rec": "BERT4REC"}
    for shown, row in zip(read.rows[1:], rows, strict=True):
        assert (shown[0], shown[3], shown[-1]) == (row["table"], row["metric"], row["verdict"])
        assert shown[1] == (row["protocol"] or "–")
        assert shown[2] == titles.get(row["model"], shown[2])
        assert shown[4].replace(",", "") == row["paper"]
    (missing,) = (row for row in read.rows if row[1:4] == ["sound", "BERT4REC", "HR@5"])
    assert missing[5] == "–" and missing[-1].startswith("not run")


@pytest.mark.parametrize(
    ("p", "by_seed", "told"),
    [
        (0.01, (-0.0123,), "p = 0.01 after Holm: significant at 0.05."),
        (0.01, (-0.02, -0.0046), "significant at 0.05 (by seed -0.0200, -0.0046)."),
        (
            0.01,
            (-0.04, 0.0154),
            "significant at 0.05, but of either sign over seeds (by seed -0.0400, +0.0154).",
        ),
        (0.2, (-0.04, 0.0154), "Holm: not significant at 0.05 (by seed -0.0400, +0.0154)."),
    ],
)
def test_a_comparison_is_told_of_each_seed(contents, p, by_seed, told):
    assert in_words(contents, comparison(p_holm=p, by_seed=by_seed), 4).endswith(told)
    standing = Standing("2", figures(pod=0.0443, sasrec=0.06), (comparison(p_holm=p, by_seed=by_seed),))
    (row,) = Rows(comparisons_section(replace(contents, standings=[standing]))).rows[1:]
    assert row[-1] == (", ".join(f"{each:+.4f}" for each in by_seed) if len(by_seed) > 1 else "–")


def test_a_data_set_that_the_paper_has_not_has_no_verdicts(contents):
    other = replace(contents, plan=replace(contents.plan, card=card("elsewhere")))
    assert "The paper prints no figure of elsewhere" in Rows(verdicts_section(other)).text


def test_comparisons_are_shown_as_they_are(contents):
    read = Rows(comparisons_section(contents))
    head, row = read.rows
    said = dict(zip(head, row, strict=True))
    assert (said["model"], said["best baseline"], said["of"]) == ("POD", "SASREC", "all rows")
    assert (said["difference"], said["from"], said["to"]) == ("-0.0123", "-0.0200", "-0.0040")
    assert (said["p (Holm)"], said["effect"], said["users better"], said["worse"]) == (
        "0.0081",
        "-0.15",
        "1.0%",
        "3.0%",
    )
    assert said["seeds"] == "2 / 3" and "Stars: POD" in read.text
    nothing = replace(contents, standings=[Standing("2", figures(sasrec=0.06))])
    assert "Nothing was compared" in Rows(comparisons_section(nothing)).text


def test_bleu_has_no_effect_of_users(contents):
    bleu = replace(contents, standings=[Standing("4", (), (comparison("BLEU-4", effect=None, difference=1.5),))])
    head, row = Rows(comparisons_section(bleu)).rows
    said = dict(zip(head, row, strict=True))
    assert (said["difference"], said["effect"], said["users better"], said["worse"]) == ("+1.50", "–", "–", "–")


@pytest.fixture
def untested(monkeypatch):
    """Made-up runs have no per-user scores that the best could be set against the next by."""
    monkeypatch.setattr("bench.report.page.summary._scores", lambda *_: None)


@pytest.mark.usefixtures("untested")
def test_the_summary_says_what_the_audit_found(contents):
    question = Question("padding", "Padding of <losses>", ("pod",), (("sequential", "HR@10"),), ())
    found = replace(contents, found=[(question.title, ["First sentence.", "Second, told apart from chance."])])
    read = Rows(summary(found))
    assert (
        "What figures hang on" in read.text
        and "Padding of <losses>First sentence.Second, told apart from chance." in read.text
    )
    assert "What figures hang on" not in Rows(summary(contents)).text


@pytest.mark.usefixtures("untested")
def test_the_summary_names_the_best_and_what_the_paper_prints(contents):
    read = Rows(summary(contents))
    assert "SASREC (best in 4 of 4 columns)" in read.text
    assert "0.0600 [0.0580, 0.0630]" in read.text
    assert "POD 0.0443" in read.text  # what Table 2 prints of Beauty
    assert "BERT4REC (published, sound): not run yet." in read.text


def test_the_summary_says_which_seeds_are_missing(tmp_path):
    made = Bench([info("pod", "POD"), info("sasrec", "SASREC")], {"pod": {0: 0.5, 2: 0.5}}, seeds=(0, 1, 2))
    read = Rows(summary(Contents(made.plan, [], [], [], tmp_path)))
    assert "POD (published, sound without seed 1); SASREC (published, sound): not run yet." in read.text


def explained(tmp_path, names=("frequent-sentence", "random-sentence")):
    """A page's contents over real runs that say sentences about the pairs of a tiny shop."""
    from test_explained import plan_of

    split = explained_split()
    plan = plan_of(split, tmp_path / "tiny" / "smoke" / "runs", asked=list(names))
    return Contents(plan, [TABLES["4"]], [], [], tmp_path / "tiny" / "smoke", split=split)


def test_explanations_stand_beside_their_reference(tmp_path):
    contents = explained(tmp_path)
    text = explanations_section(contents)
    parts = [Rows(part) for part in re.findall(r"<details>.*?</details>", text, re.DOTALL)]
    tested = [(f"u{user}", f"i{item}") for user, item, part, *_ in RECORDS if part == 2]
    assert [part.text.split("model")[0] for part in parts] == [f"User {user}, item {item}" * 2 for user, item in tested]
    for part, reference in zip(parts, TEST_TEXTS, strict=True):
        assert part.rows[1] == ["reference", reference]
        labels = [row[0] for row in part.rows[2:]]
        assert any(label.startswith("Random sentence") for label in labels)
    assert f"Of {len(TEST_TEXTS)} test pairs" in Rows(text).text


def test_copies_show_the_sentences_that_were_kept_or_say_so(tmp_path):
    contents = explained(tmp_path)
    whole = explanations_section(contents)
    contents.shown.write(contents.folder / "runs")
    for path in tmp_path.rglob(EXPLANATIONS):
        path.unlink()
    assert explanations_section(replace(contents)) == whole
    contents.shown.path.unlink()
    assert "No sentences in the copy of these runs" in Rows(explanations_section(replace(contents))).text


def test_runs_that_rank_alone_have_no_such_part(contents):
    assert explanations_section(contents) is None


def fig4(values, stds=None):
    columns = ("Sequential HR@10", "ms")
    rows = tuple(
        Row(f"K={k}", f"K = {k}", (Cell(value, std), Cell(2.0 * k, digits=2)))
        for (k, value), std in zip(values.items(), stds or [None] * len(values), strict=True)
    )
    return Table("fig4", "K", "beauty", "laptop", columns, (Panel("sound", rows),), has_paper=False)


def test_a_chart_a_column_over_k():
    quality, cost = k_curves(fig4({1: 0.01, 3: 0.04, 50: 0.02}))
    assert "Sequential HR@10, sound" in quality and "Sequential time, sound" in cost
    (points,) = re.findall(r'<polyline[^>]*points="([^"]+)"', quality)
    x, y = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    assert list(x) == sorted(x) and min(y) == y[1] and max(y) == y[0]  # the y of SVG grows downwards
    assert "wall ms a user or pair" in cost


def test_what_is_missing_is_no_point():
    (charts,) = [list(k_curves(fig4({1: 0.01, 3: None, 10: 0.02})))]
    (points,) = re.findall(r'<polyline[^>]*points="([^"]+)"', charts[0])
    assert len(points.split()) == 2
    assert len(list(k_curves(fig4({1: None, 3: None})))) == 1  # the times alone


def test_strategies_are_drawn_over_seconds(contents, tmp_path):
    model = info("pod", "POD", "llm", LlmSettings)
    plan = Bench([model], {"pod": 0.1}).plan
    for at, entry in enumerate(plan.entries):
        entry.record = replace(entry.record, path=tmp_path / str(at))
        entry.variant = ("packed", "sample-mixed")[at]
        entry.record.path.mkdir()
        lines = [f"{epoch},{(at + 1) * 10 * epoch},{3 - epoch}" for epoch in (1, 2)]
        text = "\n".join(["epoch,seconds,validation_loss", *lines])
        (entry.record.path / "curve.csv").write_text(text + "\n", encoding="utf-8")
    spec = TableSpec("5", "Strategies", variants=TABLES["5"].variants)
    drawn = Contents(contents.plan, [spec], [], [], contents.folder, own={"5": plan})
    text = "".join(figure_sections(drawn))
    part = text[text.index('id="strategies"') :]
    lines = re.findall(r'<polyline[^>]*points="([^"]+)"', part)
    first, second = ([tuple(map(float, p.split(","))) for p in line.split()] for line in lines)
    assert [y for _, y in first] == [y for _, y in second]
    ends = SimpleNamespace(packed=first[-1][0], mixed=second[-1][0])
    assert ends.packed < ends.mixed
    assert "Training strategies, seed 0" in part and "sample-mixed" in part


def test_a_run_shows_the_end_of_its_log(contents, tmp_path):
    folder = tmp_path / "caser-s0"
    folder.mkdir()
    for entry in contents.plan.entries:
        if entry.info.name == "caser":
            entry.record = replace(entry.record, path=folder)
    lines = [f"{second}.0 s  line {second} <of> /home/someone/data/beauty.txt" for second in range(30)]
    (folder / "log.txt").write_text("\n".join(lines), encoding="utf-8")
    text = runs_section(contents)
    assert "The last 20 of 30 lines of its log:" in text
    assert "line 10 &lt;of&gt; …/beauty.txt" in text and "line 9 " not in text and "/home/" not in text


def test_the_command_names_the_numbers_of_vectors_where_they_are_not_the_presets(contents):
    four = TABLES["fig4"]
    shown = replace(contents, specs=[four], own={"fig4": prompted(0.1)})
    assert "--prompt-vectors 1,3" in shown.command
    usual = prompted(0.1, variants=four.variants.values)
    assert "--prompt-vectors" not in replace(contents, specs=[four], own={"fig4": usual}).command


def test_runs_of_a_tables_own_settings_are_called_by_them(contents):
    changed = {"pod": {"epochs": "3"}}
    own = prompted(0.1, overrides=changed, variants=("",))
    shown = replace(contents, own={"6": own})
    labels = [shown.label(entry.record) for entry in own.entries]
    assert all(label.startswith("POD, epochs=3, ") for label in labels)
    assert "--set 6:pod.epochs=3" in shown.command
    # What is changed for all tables is no matter of one.
    everywhere = replace(shown, plan=replace(contents.plan, overrides=changed))
    assert all("epochs" not in everywhere.label(entry.record) for entry in own.entries)
