"""The page of stages and pipelines in a real browser: it works, it fits, it can be read, and nothing on it runs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stageflow_es import generate_docs_assets
from stageflow_es.docs.drawing.picture import picture
from stageflow_es.docs.drawing.svg import standalone
from tests.browser import CHROMIUM, MISSING, Seen, look
from tests.unit.docs.definitions import ORDER
from tests.unit.docs.hostile import NASTY, RUN, nasty_pipeline, nasty_stage
from tests.unit.docs.registered import BUILTIN, builtin_stages

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

Look = Callable[..., Seen]
DARK, LIGHT = "--blink-settings=preferredColorScheme=0", "--blink-settings=preferredColorScheme=1"


@pytest.fixture
def browse(tmp_path: Path) -> Look:
    """Write a page to a file and open it. `after`: what else to open it with, like a fragment."""

    def browse(page: str, *flags: str, after: str = "", name: str = "page.html") -> Seen:
        (tmp_path / name).write_text(page, encoding="utf-8")
        return look((tmp_path / name).as_uri() + after, tmp_path / "profile", *flags)

    return browse


@pytest.fixture(scope="module")
def page() -> str:
    with builtin_stages():
        return generate_docs_assets({"order": ORDER})[0]


@pytest.fixture
def nasty_page() -> Iterator[str]:
    with builtin_stages():
        nasty_stage()
        yield generate_docs_assets({NASTY: nasty_pipeline()})[0]


def asked(page: str, script: str) -> str:
    """The page with a script of the test's own, which leaves its answer in the title; the policy would stop it."""
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert bare != page
    return bare.replace("</body>", f"<script>document.title = JSON.stringify({script})</script></body>")


def answer(seen: Seen) -> Any:
    (title,) = re.findall(r"<title>(.*?)</title>", seen.dom, re.DOTALL)[:1]
    return json.loads(html.unescape(title))


def shown(seen: Seen) -> list[str]:
    """The stages whose cards are not hidden."""
    cards = re.findall(r'<article id="stage-\d+"([^>]*)><h4><a [^>]*>(.*?)</a>', seen.dom)
    return [name for attributes, name in cards if 'hidden=""' not in attributes]


def test_the_page_shows_every_stage_and_complains_of_nothing(browse: Look, page: str) -> None:
    seen = browse(page)
    assert seen.console == []
    assert sorted(shown(seen)) == BUILTIN


def test_a_search_leaves_the_stages_that_have_all_its_words(browse: Look, page: str) -> None:
    seen = browse(page, after="#?q=LIST+rule")
    assert seen.console == []
    assert shown(seen) == ["FilterListStage"]
    assert "1 of 17 stages" in seen.dom
    assert len(re.findall(r'<section class="category"[^>]* hidden=""', seen.dom)) == 4


def test_a_search_without_a_match_says_so(browse: Look, page: str) -> None:
    seen = browse(page, after="#?q=zzz")
    assert shown(seen) == []
    assert re.search(r'<p id="nothing">', seen.dom)


def test_a_category_leaves_its_own_stages(browse: Look, page: str) -> None:
    seen = browse(page, after="#?category=builtin.dicts")
    assert shown(seen) == ["DropKeysStage", "PickKeysStage"]


def test_a_fragment_can_choose_nothing_but_a_category_that_there_is(browse: Look, page: str) -> None:
    seen = browse(page, after="#?category=%22%5D%3Cimg%20src%3Dx%3E&q=%3Cb%3E")
    assert seen.console == []
    assert "<img" not in seen.dom


def test_typing_and_choosing_filter_and_escape_shows_all_again(browse: Look, page: str) -> None:
    script = """(() => {
      const search = document.getElementById("search");
      const count = () => document.querySelectorAll(".card.stage:not([hidden])").length;
      const counts = [count()];
      document.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true}));
      counts.push(document.activeElement === search);
      search.value = "keys"; search.dispatchEvent(new Event("input"));
      counts.push(count(), location.hash);
      document.querySelector('[data-pick="builtin.lists"]').click();
      counts.push(count(), location.hash);
      search.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true}));
      counts.push(count());
      document.querySelector('[data-pick=""]').click();
      return [...counts, count()];
    })()"""
    seen = browse(asked(page, script))
    assert answer(seen) == [17, True, 2, "#?q=keys", 0, "#?q=keys&category=builtin.lists", 5, 17]


def test_the_downloads_hold_what_they_say(browse: Look, page: str) -> None:
    script = """[...document.querySelectorAll("a[download]")].map((a) =>
      [a.download, Object.keys(JSON.parse(atob(a.href.split("base64,")[1]))).length > 5])"""
    assert answer(browse(asked(page, script))) == [["pipeline.schema.json", True], ["stages.json", True]]


@pytest.mark.parametrize("width", [320, 390, 768])
def test_the_page_fits_a_telephone(browse: Look, page: str, tmp_path: Path, width: int) -> None:
    inner = asked(page, "0").replace(
        "document.title = JSON.stringify(0)",
        "parent.postMessage([document.documentElement.clientWidth, document.documentElement.scrollWidth], '*')",
    )
    (tmp_path / "inner.html").write_text(inner, encoding="utf-8")
    frame = (
        "<!doctype html><title>0</title><script>onmessage = (e) => { document.title = JSON.stringify(e.data) }</script>"
        f'<iframe width="{width}" height="800" style="border: 0" src="inner.html"></iframe>'
    )
    room, taken = answer(browse(frame, name="frame.html"))
    assert (room, taken) == (width, width)


CONTRASTS = """(() => {
  const parts = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = (color) => parts(color).map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
  const of = (query, name) => getComputedStyle(document.querySelector(query))[name];
  const ground = (query) => {
    let one = document.querySelector(query);
    while (getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)") one = one.parentElement;
    return getComputedStyle(one).backgroundColor;
  };
  const words = ["h1", ".lead", "nav a", ".chips button", "#found", ".card p", ".type", ".type code", ".fields td",
    ".fields caption", "summary", "pre .key", "pre .text", "pre.json code", ".button",
    ".button + .button", "footer", ".node li"];
  const result = words.map((query) => [query, ratio(of(query, "color"), ground(query))]);
  for (const kind of ["stage", "condition", "parallel", "map", "subpipeline", "terminal"]) {
    for (const text of ["name", "about"]) {
      const box = `.box.${kind} `;
      result.push([box + text, ratio(of(box + "." + text, "fill"), of(box + ".shape", "fill"))]);
    }
  }
  for (const kind of ["if", "else", "fallback", "body"]) {
    result.push(["words " + kind, ratio(of(`.words.${kind} text`, "fill"), of(`.words.${kind} .chip`, "fill"))]);
  }
  result.push(["paper", ratio(of(".drawing .name", "fill"), of(".drawing .paper", "fill"))]);
  return [of("body", "backgroundColor"), result.filter(([, value]) => !(value >= 4.5))];
})()"""


def test_everything_can_be_read_in_light_and_in_dark(browse: Look, page: str) -> None:
    """By the contrast that WCAG asks of text, 4.5 to 1."""
    light, dark = (answer(browse(asked(page, CONTRASTS), flag)) for flag in (LIGHT, DARK))
    assert light[0] != dark[0]
    assert light[1] == []
    assert dark[1] == []


def test_what_a_stage_says_of_itself_does_not_run(browse: Look, nasty_page: str) -> None:
    seen = browse(nasty_page, after=f"#?q={'%3Cscript%3E'}")
    assert "<title>Stages and pipelines</title>" in seen.dom
    assert seen.console == []  # nothing was even tried: the policy had nothing to stop
    assert "<img" not in seen.dom
    assert len(shown(seen)) == 1


def test_the_page_works_beside_a_stage_that_says_such_things(browse: Look, nasty_page: str) -> None:
    assert shown(browse(nasty_page, after="#?q=keys&category=builtin.dicts")) == ["DropKeysStage", "PickKeysStage"]


def test_were_markup_to_get_in_the_policy_would_stop_it(browse: Look, page: str) -> None:
    broken = page.replace("</body>", f'<script>{RUN}</script><img src="data:," onerror="{RUN}"></body>')
    seen = browse(broken)
    assert "<title>Stages and pipelines</title>" in seen.dom
    assert any("Content Security Policy" in line for line in seen.console)


def test_a_picture_is_drawn_on_its_own(browse: Look) -> None:
    seen = browse(standalone(picture(nasty_pipeline())), name="picture.svg")
    assert seen.console == []
    assert "parsererror" not in seen.dom
    assert "PWNED" not in re.sub(
        r"<title>.*?</title>|<text[^>]*>.*?</text>|aria-label=\"[^\"]*\"", "", seen.dom, flags=re.DOTALL
    )


SHAPES = """(() => {
  const boxes = [...document.querySelectorAll("#pipelines .box")].map((one) => {
    const shape = one.querySelector(".shape:last-of-type") ?? one.querySelector(".shape");
    const room = shape.getBoundingClientRect();
    return [...one.querySelectorAll("text")].every((text) => {
      const words = text.getBoundingClientRect();
      const [across, down] = [words.left >= room.left && words.right <= room.right,
        words.top >= room.top && words.bottom <= room.bottom];
      return across && down;
    });
  });
  return [boxes.length, boxes.filter(Boolean).length];
})()"""


def test_the_words_on_a_box_stay_inside_it(browse: Look) -> None:
    """Their width is reckoned, not measured, when a picture is made; here it is measured."""
    wide = json.loads(json.dumps(ORDER))
    wide["nodes"].append({"id": "W" * 60, "type": "stage", "stage": "漢字" * 40})
    drawn, inside = answer(browse(asked(generate_docs_assets({"order": wide})[0], SHAPES)))
    assert drawn == 14
    assert inside == drawn
