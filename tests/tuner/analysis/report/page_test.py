"""The page as text: what it says, links and escapes. What it does is in browser_test.py."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import itertools
import re
from typing import Any

import pytest

from common.text import significant
from tests.tuner.analysis import made_up, made_up_page
from tuner.analysis.report import page
from tuner.analysis.report.figures import Figure
from tuner.analysis.report.page import StudyPage
from tuner.analysis.statistics.summaries import InsufficientData
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.trials.records import Records
from tuner.analysis.words.findings import Finding
from tuner.training.protocol import Failure

HOSTILE = """<script>alert(1)</script><b id='x' onclick="y">&amp;'"</b>"""


class Html(html.parser.HTMLParser):
    """Tables by id, words, ids, and what refers to them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.words = ""
        self._rows: list[list[str]] = []
        self._cell = self._skip = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self._cell = self._cell or tag in ("td", "th")
        self._skip = tag in ("script", "style")
        if tag == "table":
            self._rows = self.tables[found["id"]] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        elif tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("a", "strong", "span", "code"):
            self.words += " "
        if tag in ("td", "th"):
            self._cell = False
            self._rows[-1][-1] = " ".join(self._rows[-1][-1].split())
        self._skip = False

    def handle_data(self, data: str) -> None:
        if self._skip:
            if self.tags[-1][0] == "script":
                self.scripts[-1] += data
            return
        self.words += data
        if self._cell:
            self._rows[-1][-1] += data

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [found[name] for _, found in self.tags if name in found]

    @property
    def text(self) -> str:
        """The words with single spaces."""
        return " ".join(self.words.split())


def html_of(*studies: StudyPage) -> Html:
    return Html(page.render(studies or [made_up_page.page()]))


def replaced(records: Records, **facts: Any) -> Records:
    return dataclasses.replace(records, facts={**records.facts, **facts})


def briefly(records: Records) -> StudyAnalysis:
    """An analysis that takes no time."""
    return made_up_page.analysis(records, enough=False)


def lacking() -> StudyPage:
    """A study of which nothing can be told."""
    records = made_up.records(2, ("V", "NFG"))
    return made_up_page.page(
        analysis=briefly(records),
        **dict.fromkeys(("figures", "findings", "claims"), ()),
    )


def empty() -> StudyPage:
    """A study without a finished trial."""
    records = made_up.records(4, ("V", "NFG"), ended=0.0)
    nothing = dict.fromkeys(("figures", "findings", "claims"), ())
    return made_up_page.page(analysis=briefly(records), **nothing)


def speech() -> StudyPage:
    """A task with merged classes, and a variant less."""
    records = made_up.records(30, ("V", "NFG"), task="speech")
    return made_up_page.page("speech", analysis=briefly(records))


def test_scores_are_those_of_the_summaries() -> None:
    study = made_up_page.page()
    rows = html_of(study).tables["music-scores"]
    summary = study.analysis.summaries[2]
    assert [row[0] for row in rows[2:]] == ["V", "NIG", "NFG"]
    assert rows[4] == [
        *("NFG", "30/30", "0", str(summary.diverged)),
        significant(summary.best.result.validation.mean),
        significant(summary.best.result.test.mean),
        significant(summary.top_test.median),
        significant(summary.top_test.mean),
        "3",
        f"{summary.parameters.median:,.0f}",
        rows[4][-1],
    ]
    assert re.fullmatch(r"\d+ s|[\d.]+ (min|h)", rows[4][-1])


def test_comparisons_are_written_as_papers_do() -> None:
    study = made_up_page.page()
    comparison = study.analysis.comparisons["NFG"]
    assert not isinstance(comparison, InsufficientData)
    made = dataclasses.replace(
        comparison,
        difference=0.21234567,
        detectable=0.15234567,
        hedges_g=-1.5,
        g_interval=(-2.25, float("inf")),
        p=0.00012,
        p_holm=0.0123,
        p_bonferroni=0.246,
        p_permutation=0.5,
        p_permutation_holm=1.0,
        p_mann_whitney=0.04444,
        verdict="worse",
    )
    analysis = dataclasses.replace(study.analysis, comparisons={"NFG": made})
    rows = html_of(dataclasses.replace(study, analysis=analysis)).tables["music-comparisons"]
    assert rows[2:] == [
        [
            *("NFG", "worse", "+0.212", "0.152", "−1.50", "−2.25 to +∞"),
            *("< 0.001", "0.012", "0.25", "0.50", "1.00", "0.044"),
        ]
    ]


def test_importance_names_the_factor_of_every_share() -> None:
    tables = html_of().tables
    heads, pooled, vanilla = tables["music-importance-test"][1:4]
    assert dict(zip(heads, pooled[1:], strict=False)) == {
        "learning rate": "67 ± 7",
        "units": "12 ± 1",
        "input noise": "8.2 ± 0.8",
        "momentum": "0.4 ± 0.0",
        "variant": "3.3 ± 0.3",
        "all pairs": "7.3",
        "largest pair": "learning rate × input noise 4.2 ± 0.4",
        "higher order": "1.4 ± 0.2",
    }
    assert (pooled[0], pooled[-1]) == ("all variants", "0.91")
    assert (vanilla[0], vanilla[5]) == ("V", "–")
    assert tables["music-importance-seconds"][2][1:3] == ["81 ± 8", "5.1 ± 0.5"]
    assert tables["music-pairs"][1][:2] == ["learning rate × input noise", "4.2 ± 0.4"]
    assert tables["music-ped-test"][1] == ["all variants", *["20.0"] * 5]


def test_a_finding_leads_to_its_figure_if_it_was_drawn() -> None:
    text = page.render([made_up_page.page()])
    assert re.search(
        r'NFG is worse than V\. <a [^>]*href="#music-variants">Figure&nbsp;1</a>', text
    )
    assert re.search(r'first\. <a [^>]*href="#music-importance">Figure&nbsp;3</a>', text)
    assert re.search(r"Nobody drew this\.\s*</p>", text)


def test_a_number_is_not_torn_at_the_end_of_a_line() -> None:
    said = Finding("It explains 67 % ± 7 % of 1e-6 < x.", "g −1.2, p < 0.001, p = 0.5", "variants")
    text = page.render([made_up_page.page(findings=(said,))])
    assert "explains 67\u00a0%\u00a0±\u00a07\u00a0% of <span" in text
    assert '<span class="whole">1e-6</span> &lt; x.' in text
    assert "g −1.2, p\u00a0&lt;\u00a00.001, p\u00a0=\u00a00.5" in text


def test_two_studies_of_the_same_trials_have_ids_of_their_own() -> None:
    svg = (
        '<svg aria-labelledby="axes-0123abcd-title axes-0123abcd-description">'
        '<title id="axes-0123abcd-title"/><desc id="axes-0123abcd-description"/>'
        '<path id="axes-0123abcd-m1"/><use href="#axes-0123abcd-m1"/></svg>'
    )
    drawn = (Figure("axes", "Title", "Caption.", svg),)
    found = html_of(*(dataclasses.replace(empty(), key=key, figures=drawn) for key in "ab"))
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    assert "#a-axes-0123abcd-m1" in found.values("href")
    assert "b-axes-0123abcd-title b-axes-0123abcd-description" in found.values("aria-labelledby")


def test_claims_stand_beside_the_papers() -> None:
    rows = html_of().tables["music-claims-table"]
    assert rows[0] == ["topic", "the paper found", "this study found", "verdict", "source"]
    assert rows[2] == [
        "momentum",
        "It hardly matters.",
        "Too few trials.",
        "undecided",
        "section 8",
    ]


PAGES = {
    "one": lambda: [made_up_page.page()],
    "several": lambda: [made_up_page.page(), speech(), dataclasses.replace(empty(), key="none")],
    "lacking": lambda: [lacking()],
    "empty": lambda: [empty()],
}


@pytest.mark.parametrize("kind", PAGES)
def test_links_and_ids(kind: str) -> None:
    found = Html(page.render(PAGES[kind]()))
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    links = [address[1:] for address in found.values("href") if address.startswith("#")]
    described = " ".join(found.values("aria-labelledby") + found.values("aria-describedby"))
    for target in links + described.split() + found.values("data-trials"):
        assert target in ids, target
    assert [tag for tag, _ in found.tags].count("h1") == 1
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(found.values("scope")) == sum(tag == "th" for tag, _ in found.tags)
    assert sum(tag == "caption" for tag, _ in found.tags) == len(found.tables)


@pytest.mark.parametrize("kind", PAGES)
def test_no_number_has_eight_digits(kind: str) -> None:
    text = Html(page.render(PAGES[kind]())).text.replace("arXiv 1503.04069", "")
    assert re.findall(r"\d\.\d{5,}", text) == []
    assert re.findall(r"\bnan\b|\binf\b|None|Undefined", text) == []


def test_the_page_forbids_itself_the_network() -> None:
    text = page.render([made_up_page.page()])
    found = Html(text)
    (policy,) = [
        tag["content"]
        for _, tag in found.tags
        if tag.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256(found.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert not [name for _, tag in found.tags for name in tag if name.startswith("on")]
    assert not [address for address in found.values("href") if "//" in address]
    assert found.values("src") == []
    assert "@import" not in text and "url(http" not in text


def test_hostile_names_are_words() -> None:
    records = replaced(
        made_up.records(12, ("V", "NFG")),
        task=HOSTILE,
        metric={"name": HOSTILE, "unit": HOSTILE},
        data={"name": HOSTILE, "sha256": HOSTILE, "detail": HOSTILE},
        versions={HOSTILE: HOSTILE},
        machines=[HOSTILE],
        commands=[HOSTILE],
    )
    trial = dataclasses.replace(records.entries["NFG"][0].trial, index=12)
    failures = {**records.failures, "NFG": (Failure(trial, HOSTILE, HOSTILE),)}
    records = dataclasses.replace(records, name=HOSTILE, failures=failures)
    study = made_up_page.page(
        analysis=briefly(records),
        findings=tuple(
            Finding(HOSTILE, HOSTILE, "variants", kind) for kind in ("finding", "guideline")
        ),
        command=HOSTILE,
        files={HOSTILE: "trials.csv"},
    )
    found = html_of(study, dataclasses.replace(study, key="again"))
    # Two lists of curves and the page's own; an opened one would swallow what follows.
    assert [script[:2] for script in found.scripts] == ["[{", "[{", '"u']
    assert {tag for tag, _ in found.tags}.isdisjoint({"b"})
    assert found.words.count("alert(1)") > 30
    assert "&lt;" not in found.words and found.words.count('onclick="y"') > 30


def test_what_cannot_be_told_is_said() -> None:
    found = html_of(lacking())
    reason = "because there are 2 trials; this needs 30."
    assert f"No variant is compared with V, {reason}" in found.text
    assert f"variance of test NLL: no result, {reason}" in found.text
    assert f"variance of training time: no result, {reason}" in found.text
    assert list(found.tables) == ["music-scores", "music-trial-table"]
    assert "guidelines" not in " ".join(found.values("href"))


def test_what_a_part_of_the_variants_lacks_is_said_in_its_row() -> None:
    study = made_up_page.page()
    missing = InsufficientData("there are 2 trials")
    analysis = dataclasses.replace(
        study.analysis,
        comparisons={**study.analysis.comparisons, "NIG": missing},
        importance={**study.analysis.importance, ("NIG", "test"): missing},
    )
    tables = html_of(dataclasses.replace(study, analysis=analysis)).tables
    said = ["NIG", "No result: there are 2 trials."]
    assert tables["music-comparisons"][2] == said
    assert tables["music-importance-test"][4] == said
    assert tables["music-pairs"][0] == ["pair", "all variants", "V", "NFG"]


def test_a_study_without_a_finished_trial() -> None:
    found = html_of(empty())
    assert "0 of 8 planned trials are finished" in found.text
    assert found.text.count("No trial has finished yet.") == 2
    assert "No trial has ended yet." in found.text
    assert "This study is incomplete." in found.text


def test_warnings() -> None:
    whole = made_up.records(200, ("V",))
    papers = html_of(made_up_page.page(analysis=briefly(whole))).text
    assert "not the paper's study" not in papers and "incomplete" not in papers
    running = made_up.records(200, ("V",), ended=0.5)
    text = html_of(made_up_page.page(analysis=briefly(running))).text
    assert "not the paper's study" not in text
    assert "This study is incomplete. Trials that are expected to take longest run first" in text
    protocol = {**whole.facts["protocol"], "max_epochs": 20}
    short = briefly(replaced(whole, protocol=protocol))
    assert "not the paper's study" in html_of(made_up_page.page(analysis=short)).text


def test_several_studies_have_an_overview() -> None:
    studies = [made_up_page.page(), speech()]
    rows = html_of(*studies).tables["overview-table"]
    assert [row[0] for row in rows[2:]] == ["V", "NIG", "NFG"]
    assert rows[3][-1] == "no finished trial"
    music, other = (study.analysis.summaries[0] for study in studies)
    assert rows[2] == [
        "V",
        significant(music.best.result.test.mean),
        significant(music.top_test.median),
        "baseline",
        significant(other.best.result.test.mean),
        significant(other.top_test.median),
        "baseline",
    ]
    assert "overview-table" not in html_of(studies[0]).tables


def test_merged_classes_have_a_column_where_there_are_some() -> None:
    assert "merged classes" in html_of(speech()).tables["speech-scores"][1]
    assert "test, merged classes" in html_of(speech()).tables["speech-trial-table"][0]
    assert "merged" not in html_of().text


def test_what_was_not_recorded_is_said() -> None:
    records = made_up.records(12, ("V",))
    facts = {name: fact for name, fact in records.facts.items() if name != "machines"}
    early = dataclasses.replace(records, facts=facts)
    text = html_of(made_up_page.page(analysis=briefly(early), command="")).text
    assert "Machine not recorded" in text and "To reproduce not recorded" in text
    assert "made-up processor, 2 cores" in html_of().text


def test_every_command_stands_in_a_line_of_its_own() -> None:
    lines = re.findall(r'<code class="command">(.*?)</code>', page.render([made_up_page.page()]))
    assert lines == ["python -m tuner.run --task=music", "python -m tuner.run --trials=30"]


@pytest.mark.parametrize("keys", [("a", "a"), ("a b",), ("",)])
def test_keys_are_anchors(keys: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected keys"):
        page.render([dataclasses.replace(empty(), key=key) for key in keys])
