"""report.html: what stands on it, when it is made again, and what a browser makes of it."""

import base64
import hashlib
import json
import re
import shutil

import browser
import folds_of_step7 as given
import numpy as np
import pandas as pd
import pytest
from test_recovery import planted_of, transplants_of

from utils import constants, drawing
from utils.run import summary_paths
from utils.run.paths import FoldPaths
from utils.run.summary_paths import SummaryPaths
from utils.summary.documents import short
from utils.summary.effects import summarise as effects
from utils.summary.figures import catalogue
from utils.summary.figures import effects as effect_figures
from utils.summary.page import refresh as report
from utils.summary.scores import summarise

MARKUP = "<i>x&y"
MADE = "How it was made"


def two_figures(*given, every=catalogue.every_figure):
    quick = ("locations", "critical_difference")
    yield from (one for one in every(*given) if one.truth is None or one.name in quick)


def current_files(jobs):
    """The tables of steps 8 and 9 that are there: nobody has made them from anything."""
    found = {}
    for paths in (job.paths for job in jobs):
        tables = (paths.judged("scores"), paths.transplants, paths.planted_table)
        found[paths.name] = [path for path in tables if path.is_file()]
    return found, []


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        given.without_models(patch)
        patch.setattr(effects, "current_files", current_files)
        patch.setattr(catalogue, "every_figure", two_figures)
        patch.setattr(constants, "FIGURE_WIDTHS", ("1col", "2col"))
        patch.setenv("TQDM_DISABLE", "1")
        yield patch


@pytest.fixture(scope="module")
def made(patched, tmp_path_factory):
    """Two folds with a summary and its page, before steps 8 and 9."""
    root = tmp_path_factory.mktemp("page")
    for fold in (0, 1):
        change = given.write_fold(root, fold)
        given.drop_methods(root, fold, change)
        for setting in given.SETTINGS:
            path = FoldPaths(root, "digits", fold).setting(setting)
            np.save(path / f"weight_{MARKUP}_score.npy", change[::-1].copy())
    jobs = [given.evaluate(root, fold) for fold in (0, 1)]
    summarise.summarise(jobs, False)
    report.refresh(jobs)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "root")


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take long to draw, and not every test looks at them."""
    monkeypatch.setattr(drawing, "render", lambda _, suffix: b"<svg>a figure</svg>")


def jobs_of(root, **given_arguments):
    args = given.arguments(**given_arguments)
    return [given.job_of(root, fold, args) for fold in (0, 1)]


def paths_of(root):
    return SummaryPaths(root, "digits", other_folds=(0, 1))


def page_of(root) -> str:
    return paths_of(root).report.read_text(encoding="utf-8")


def run_step_9(root):
    """Tables as steps 8 and 9 leave them, and what they say across folds."""
    for fold in (0, 1):
        paths = FoldPaths(root, "digits", fold)
        for table, path in [
            (transplants_of((fold,)), paths.transplants),
            (planted_of([5, 3, 1]).query("fold == @fold"), paths.planted_table),
        ]:
            table.to_csv(path, index=False)
    effects.summarise(jobs_of(root, mix_constants=True))


def test_everything_of_the_summary_is_on_it(made):
    page, paths = page_of(made), paths_of(made)
    found, _, notes = paths.notes.read_text().partition("\n\n")
    for sentence in [*found.splitlines(), *notes.splitlines()]:
        text = sentence.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert text.replace("'", "&#39;") in page
    overview = pd.read_csv(paths.table("overview")).set_index("method")
    row = re.search(r'<th scope="row">A</th>(.*?)</tr>', page, re.DOTALL)[1]
    cells = re.findall("<td>(.*?)</td>", row)
    assert cells[0] == f"{overview.loc['A', 'lift change']:.2f}"
    ends = (overview.loc["A", "low change"], overview.loc["A", "high change"])
    assert cells[1] == f"{overview.loc['A', 'null_mean change']:.2f}"
    assert cells[2] == short.interval(*ends)
    for title in ("Where the weights lie", "Mean ranks", "What could be reached"):
        assert page.count(f">{title}</h3>") == 1, title
    drawn = [
        base64.b64decode(svg) for svg in re.findall('data:image/svg[+]xml;base64,([^"]*)', page)
    ]
    files = [path.read_bytes() for path in paths.results.rglob("*.svg")]
    assert sorted(drawn) == sorted(files) and len(files) == 2 * page.count("<figure")
    assert page.count(' alt="What could be reached. lift@5% by') == 1


def test_it_says_how_it_was_made(made):
    page = page_of(made).partition(f'id="made">{MADE}')[2]
    scores = FoldPaths(made, "digits", 1).judged("scores").read_bytes()
    assert hashlib.sha256(scores).hexdigest() in page
    assert re.search(r">POSITIVE_PERCENT</th><td>5</td>", page)
    assert re.search(r">summary: matplotlib</th><td>\d+\.\d+", page)
    assert re.search(r">python</th><td>3\.\d+", page)
    assert not re.search(r"20\d\d-\d\d-\d\d", page)  # no time of day


def test_nothing_comes_from_elsewhere_and_no_id_is_there_twice(made):
    page = page_of(made)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and len(ids) >= 10
    targets = re.findall(r'(?:href|src|srcset)="([^"]+)"', page)
    inner = [target[1:] for target in targets if target.startswith("#")]
    assert set(inner) <= set(ids) and len(inner) > 5
    figures = [target for target in targets if target.startswith("data:image/svg+xml;base64,")]
    assert len(figures) == 2 * page.count("<figure") and len(inner) + len(figures) == len(targets)
    assert "url(" not in page and "@import" not in page


def test_names_are_text(made):
    page = page_of(made)
    assert MARKUP not in page and "&lt;i&gt;x&amp;y" in page


def test_the_same_bytes_again(root):
    before, path = page_of(root), paths_of(root).report
    stamp = path.stat().st_mtime_ns
    report.refresh(jobs_of(root))
    assert path.stat().st_mtime_ns == stamp  # kept
    report.refresh(jobs_of(root, force=True))
    assert path.stat().st_mtime_ns != stamp and page_of(root) == before


def test_what_steps_8_and_9_add_is_on_it_when_they_have_run(root, undrawn):
    assert report.NOT_YET in page_of(root)
    run_step_9(root)
    report.refresh(jobs_of(root))
    page = page_of(root)
    assert report.NOT_YET not in page and "A transplant needs M2" in page
    for title in ("Planted faults", "Loss recovered against K"):
        assert f">{title}</h3>" in page, title
    assert page.count('<th scope="col">neurons, 1, lift@R</th>') == 1


def test_what_is_older_than_the_scores_is_not_on_it(root, undrawn):
    run_step_9(root)
    report.refresh(jobs_of(root))
    path = FoldPaths(root, "digits", 0).setting("all") / "weight_B_score.npy"
    np.save(path, np.load(path)[::-1].copy())
    jobs = [given.evaluate(root, fold) for fold in (0, 1)]
    summarise.summarise(jobs, False)
    report.refresh(jobs)
    page = page_of(root)
    assert report.OUT_OF_DATE in page and "A transplant needs M2" not in page
    effects.summarise(jobs_of(root, mix_constants=True))
    report.refresh(jobs)
    assert "A transplant needs M2" in page_of(root)


def test_without_an_up_to_date_summary_it_is_left_alone(root, undrawn):
    before = page_of(root)
    path = FoldPaths(root, "digits", 0).setting("all") / "weight_B_score.npy"
    np.save(path, np.load(path)[::-1].copy())
    jobs = [given.evaluate(root, fold) for fold in (0, 1)]
    run_step_9(root)
    report.refresh(jobs)
    assert page_of(root) == before
    shutil.rmtree(paths_of(root).results)
    run_step_9(root)  # before any summary
    report.refresh(jobs)
    assert not paths_of(root).report.exists()
    summarise.summarise(jobs, False)
    report.refresh(jobs)
    assert "A transplant needs M2" in page_of(root)


def test_what_no_step_made_of_these_folds_goes_with_a_line(root, undrawn, capsys):
    """A file of another release, on record or not; a user's own stays."""
    paths = paths_of(root)
    record = json.loads(paths.provenance.read_text())
    old = paths.results / "old_table.csv"
    old.write_text("a\n1\n")
    digest = hashlib.sha256(old.read_bytes()).hexdigest()
    verdict = record["tasks"]["7/summary"]["outputs"]["verdict.csv"]
    record["tasks"]["9/effects"] = record["tasks"]["7/report"] | {
        "outputs": {"old_table.csv": digest, "verdict.csv": verdict}
    }
    paths.provenance.write_text(json.dumps(record))
    left = [paths.table("planted"), paths.figure("blocks", "2col").with_suffix(".png")]
    mine = [paths.results / "my_notes.txt", paths.figure("mine", "1col").with_suffix(".png")]
    for path in (*left, *mine):
        path.write_text("left")
    capsys.readouterr()
    report.refresh(jobs_of(root))
    said = capsys.readouterr().out
    assert not any(path.exists() for path in (*left, old)) and all(p.exists() for p in mine)
    assert "removed planted.csv, figures/blocks_2col.png: no step made them" in said
    assert paths.table("verdict").exists()  # the same file is of today's summary too
    assert "9/effects" not in json.loads(paths.provenance.read_text())["tasks"]
    report.refresh(jobs_of(root))
    assert "removed" not in capsys.readouterr().out


def test_older_tables_of_step_7_are_named(root, undrawn, capsys):
    path = FoldPaths(root, "digits", 0).setting("all") / "weight_B_score.npy"
    np.save(path, np.load(path)[::-1].copy())
    jobs = [given.evaluate(root, fold) for fold in (0, 1)]
    report.refresh(jobs)
    said = capsys.readouterr().out
    assert f"the tables of step 7 in {paths_of(root).results} are older than the folds'" in said
    assert "run exp-fl-5-7.py" in said


def test_every_file_of_ours_is_known_by_name(made):
    names = {**catalogue.CAPTIONS, **effect_figures.CAPTIONS}
    assert set(summary_paths.FIGURES) == set(names)
    tasks = json.loads(paths_of(made).provenance.read_text())["tasks"]
    made_here = {name for task in tasks.values() for name in task["outputs"]}
    known = {
        path.relative_to(paths_of(made).results).as_posix() for path in paths_of(made).of_ours()
    }
    assert made_here == known


# In a browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if browser.PROGRAM is None:
        pytest.skip("Chromium is not installed")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.mark.parametrize("width", [400, 1400])
def test_it_opens_offline_without_a_complaint_and_fits_the_window(made, chromium, width):
    chromium.call("Network.emulateNetworkConditions", offline=True, latency=0,
                  downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
    chromium.open(paths_of(made).report, width)
    assert chromium.complaints() == []
    assert {url.partition(":")[0] for url in chromium.requests()} == {"file", "data"}
    assert chromium.ask("document.documentElement.scrollWidth") == width
    narrow = "document.querySelector('img').currentSrc === document.querySelector('source').srcset"
    assert chromium.ask(narrow) == (width == 400)
    # What is wider than the window scrolls inside its own box, and nothing else is.
    beyond = """[...document.querySelectorAll("body *")].filter((one) => !one.closest(".box, .skip")
        && one.getBoundingClientRect().right > innerWidth + 1).length"""
    assert chromium.ask(beyond) == 0
    # No text of a figure is smaller than 5.5 pixels: figures are not squeezed.
    scale = """Math.min(...[...document.querySelectorAll("figure img")].map((one) =>
        one.getBoundingClientRect().width / (one.naturalWidth * 0.75)))"""
    assert chromium.ask(scale) > 0.9


def test_its_tables_sort(made, chromium):
    chromium.open(paths_of(made).report, 1400)
    column = """[...document.querySelector("#overview ~ .box table").tBodies[0].rows].map(
        (row) => row.cells[1].textContent)"""
    header = 'document.querySelector("#overview ~ .box table").tHead.rows[1].cells[1]'
    assert chromium.ask(f"{header}.getAttribute('aria-sort')") == "none"
    shown = [float(text) for text in chromium.ask(column)]
    for expected in (sorted(shown, reverse=True), sorted(shown)):
        chromium.ask(f"{header}.querySelector('button').click()")
        assert [float(text) for text in chromium.ask(column)] == expected
    assert chromium.ask(f"{header}.getAttribute('aria-sort')") == "ascending"
    # Specificity does not exist here: a column of dashes keeps its order. Names go from a to z.
    name = header.replace("cells[1]", "cells[0]")
    chromium.ask(f"{name}.querySelector('button').click()")
    names = chromium.ask(column.replace("cells[1]", "cells[0]"))
    assert names == sorted(names, key=str.casefold) or names[0].startswith(("&", "<", "="))
    assert chromium.ask(f"{header}.getAttribute('aria-sort')") == "none"
    assert chromium.complaints() == []


def test_it_prints(made, chromium):
    chromium.open(paths_of(made).report, 1400)
    pdf = chromium.print()
    assert pdf.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert 3 <= pages <= 12
    # The widest table ends before the paper does.
    chromium.call("Emulation.setEmulatedMedia", media="print")
    printable = (210 - 24) * 96 / 25.4
    chromium.open(paths_of(made).report, round(printable))
    widest = chromium.ask("Math.max(...[...document.querySelectorAll('table')].map((t) => "
                          "t.getBoundingClientRect().right))")  # fmt: skip
    chromium.call("Emulation.setEmulatedMedia", media="")
    assert widest <= printable + 1
