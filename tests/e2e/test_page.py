"""The page in a real Chromium, served by the real API, its board fed by the test."""

import dataclasses
import json
import time
from pathlib import Path

import pytest

from actors.api.actor import Put
from actors.api.history import History
from actors.facts import AlertsChanged, EngineFacts, EnginesChanged, LinkChanged, ModelsChanged, TransfersChanged
from tests.actors.api.bench import Bench
from tests.bed import ports
from tests.bed.browser import PHONE, Tab, chromium
from tests.bed.processes import wait_until
from tests.e2e import page_world as world

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120, func_only=True)]
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
LOOKS = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}, "phone": PHONE}
READY = "document.querySelectorAll('.engine.good').length == 2"


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def bench(tmp_path):
    log_file = tmp_path / "agent.log"
    log_file.write_text(line("engine.ready", engine="embed") + line("sample_late", level="warning"))
    with Bench(log_file=log_file, history=past()) as made:
        made.log_file = log_file
        world.feed(made)
        yield made


def past():
    """A day behind us on the axis of this machine's clock."""
    history, now = History(), time.time()
    begin, feed = time.monotonic() - 86_400, history.add
    history.add = lambda at, wall, values: feed(begin + at, wall, values)
    world.past(history, now=now)
    del history.add
    return history


def line(event, level="info", **rest):
    return json.dumps({"at": "2026-01-01T12:00:00Z", "level": level, "event": event} | rest) + "\n"


def troubled(bench):
    now = time.time()
    bench.tell(world.engines("backoff", now))
    bench.tell(
        AlertsChanged(
            tuple(
                dataclasses.replace(alert, starts_at=now - age)
                for alert, age in ((world.CRITICAL, 20), (world.ALERT, 340))
            )
        )
    )


def axe(tab):
    """What axe-core finds wrong, in words."""
    tab.page.evaluate(AXE)
    found = tab.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:4]}" for one in found["violations"]
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_it_loads_without_a_complaint_or_a_request_to_others_and_is_kept_as_a_picture(browser, bench, look):
    with Tab(browser, bench.page, **LOOKS[look]) as tab:
        tab.wait(READY, "two engines serve")
        tab.wait("document.querySelectorAll('canvas').length == 8", "every chart is drawn")
        tab.wait("document.querySelector('.lines').innerText.includes('sample_late')", "the log")
        assert tab.text("h1") == "gpu-node-17"
        assert "a-7f3c21d09e" in tab.page.locator(".brand").text_content()
        assert tab.text(".verdict h2") == "2 of 3 engines are serving"
        assert tab.text("#tree .over p") == "The agent takes 58.0 MiB, 0.4 % of a processor, 21 threads"
        assert tab.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (look == "dark")
        assert not axe(tab)
        assert tab.picture(f"page-{look}").stat().st_size > 50_000
        assert tab.complaints == []
        assert tab.strangers == []


@pytest.mark.parametrize("look", LOOKS)
def test_trouble_is_told_first_in_words_and_shapes_and_ends(browser, bench, look):
    with Tab(browser, bench.page, **LOOKS[look]) as tab:
        tab.wait(READY, "two engines serve")
        troubled(bench)
        tab.wait("document.querySelector('.verdict').classList.contains('bad')", "the verdict turns")
        assert tab.text(".verdict h2") == "chat-8b is not serving"
        tab.wait("document.querySelectorAll('.alert').length == 2", "the alerts")
        card = tab.text("article[aria-label='Engine chat-8b']")
        assert "killed by the kernel for want of memory" in card
        assert "Next try in" in card
        assert "1 restart" in card
        assert "Critical:" in tab.text(".alert.bad")
        assert tab.page.title().startswith("(1)")
        assert not axe(tab)
        tab.picture(f"trouble-{look}")
        bench.tell(world.engines(now=time.time()), AlertsChanged(()))
        tab.wait(READY + " && !document.querySelector('.alert')", "all is well again")
        card = "document.querySelector(\"article[aria-label='Engine chat-8b']\").innerText"
        assert "Next try" not in tab.page.evaluate(card), "nothing of its trouble stays"
        assert tab.complaints == []


def test_figures_and_charts_go_on_while_one_looks(browser, bench):
    with Tab(browser, bench.page) as tab:
        tab.wait(READY, "two engines serve")
        points = "document.querySelector(\"[aria-label^='Processors, last']\").getAttribute('aria-label')"
        before = tab.page.evaluate(points)
        assert "now" in before
        bench.tell(Put("snapshot", world.figures(time.time()) | {"host": {"cpu.busy": 0.97, "load1": 99.0}}))
        tab.wait(f"({points}).includes('now 97 %')", "the chart's newest point")
        tile = tab.text("article[aria-label='Processors']")
        assert "97 %" in tile
        assert "load 99" in tile
        assert "high" in tile
        assert "–" in tab.text("article[aria-label='Memory'] .big"), "what is not known is a dash"
        bench.tell(TransfersChanged(world.transfers(22 * world.GIB).transfers))
        tab.wait("document.querySelector('.transfer').innerText.includes('50 %')", "the download goes on")


def test_a_day_is_one_press_away_and_its_hole_is_a_hole(browser, bench):
    with Tab(browser, bench.page) as tab:
        tab.wait(READY, "two engines serve")
        tab.page.get_by_role("button", name="24 h").click()
        tab.wait("document.querySelector(\"[aria-label^='Processors, last 24 hours']\")", "the day")
        found = tab.page.evaluate("fetch('/v1/history?span=24h&series=host.cpu').then((answer) => answer.json())")
        values = found["series"]["host.cpu"]
        assert len(values) == 1440
        assert 40 <= sum(value is None for value in values) <= 60
        tab.picture("page-day", whole=False)
        tab.page.locator("article[aria-label='Processors'] .u-over").hover()
        tab.wait("document.querySelector('[aria-label=Memory] .readout').innerText.includes('%')", "every chart tells")


def test_a_silent_agent_is_told_and_its_return_is_seen(browser, tmp_path):
    port = ports.free_port()
    with Bench(port=port) as first:
        world.feed(first)
        tab = Tab(browser, first.page)
        tab.wait(READY, "two engines serve")
    tab.wait("document.querySelector('.banner').innerText.includes('does not answer')", "the banner")
    assert "What you see is from" in tab.text(".banner")
    assert "not live" in tab.text(".live")
    assert not axe(tab)
    tab.picture("page-stale", whole=False)
    with Bench(port=port) as second:
        world.feed(second, "gave_up")
        tab.wait("document.querySelector('.live').innerText == 'live'", "it is live again")
        tab.wait("document.querySelector('.engine.bad')", "the new facts")
        assert tab.page.locator(".banner").inner_text() == ""
        tab.close()


def test_an_empty_machine_is_told_as_such(browser, bench):
    bench.tell(EnginesChanged(()), TransfersChanged(()), Put("snapshot", {"at": 1.0, "host": {}}))
    bench.tell(LinkChanged("unenrolled"), ModelsChanged(()))
    bench.events = []
    with Tab(browser, bench.page) as tab:
        tab.wait("document.querySelector('.verdict.idle')", "the verdict")
        assert "No engine is wanted" in tab.text("#engines")
        assert "No model is on this machine" in tab.text("#models")
        assert "Nothing has happened yet" in tab.text("#events")
        assert tab.page.locator("#gpus").count() == 0
        assert not axe(tab)
        tab.picture("page-empty")


def test_without_any_sample_there_is_still_a_page(browser, tmp_path):
    with Bench() as bench, Tab(browser, bench.page) as tab:
        tab.wait("document.querySelector('.live').innerText == 'live'", "it is live")
        assert "No sample yet" in tab.text("#host")
        assert tab.complaints == []


def test_a_page_whose_files_did_not_come_loads_them_again(browser, bench):
    with Tab(browser, bench.page) as tab:
        tab.wait(READY, "two engines serve")
        tab.context.route("**/static/charts.js", lambda route: route.abort())
        tab.page.reload()
        tab.wait("document.querySelector('#app').hidden", "it is empty")
        tab.context.unroute("**/static/charts.js")
        tab.wait(READY, "it has come after all")


HEADLINES = [
    (("ready",), "e0 is serving", ""),
    (("ready", "ready", "stopped"), "All 2 engines are serving", "1 stopped by command"),
    (("ready", "draining", "loading"), "1 of 3 engines are serving", "1 on the way; 1 draining"),
    (("starting",), "e0 is not serving yet", "1 on the way"),
    (("stopped",), "No engine is serving", "1 stopped by command"),
    (("ready", "gave_up"), "e1 is not serving", "so it is"),
    (("backoff", "gave_up", "ready"), "2 of 3 engines are not serving", "e0, e1"),
]


def test_the_headline_says_what_serves_and_what_does_not(browser, bench):
    with Tab(browser, bench.page) as tab:
        for states, headline, more in HEADLINES:
            found = [EngineFacts(f"e{number}", "vllm", state, why="so it is") for number, state in enumerate(states)]
            bench.tell(EnginesChanged(tuple(found)))
            tab.wait(f"document.querySelector('.verdict h2')?.innerText == '{headline}'", headline)
            assert tab.page.locator(".verdict p").all_inner_texts() == ([more] if more else [])


def test_what_others_wrote_stays_text(browser, bench):
    evil = "<img src=x onerror=document.title='evil'><script>1</script>"
    bench.tell(EnginesChanged((EngineFacts(evil, evil, "gave_up", model=evil, why=evil, attempts=(evil, evil)),)))
    with bench.log_file.open("a") as file:
        file.write(line(evil))
    with Tab(browser, bench.page) as tab:
        tab.wait("document.querySelector('.lines').innerText.includes('onerror')", "the log")
        assert evil in tab.text(".why")
        assert tab.page.locator("img[src=x]").count() == 0
        assert tab.complaints == []


def test_it_is_used_by_keyboard_alone(browser, bench):
    with Tab(browser, bench.page, reduced_motion="reduce") as tab:
        tab.wait(READY, "two engines serve")
        tab.page.keyboard.press("Tab")
        assert focused(tab) == "Skip to the engines"
        names = []
        for _ in range(7):
            tab.page.keyboard.press("Tab")
            names.append(focused(tab))
        assert names[:3] == ["15 min", "24 h", "Theme: system. Change it"]
        assert names[3:] == ["Events, newest first", "Least level", "Filter the log", "Hold"]
        tab.page.keyboard.press("Shift+Tab")
        tab.page.keyboard.type("late")
        tab.wait("document.querySelectorAll('.line').length == 1", "the filter")
        bench.tell(world.engines("gave_up"))
        tab.wait("document.querySelector('.engine.bad')", "news while one types")
        assert focused(tab) == "Filter the log", "news take nobody's focus"
        tab.page.keyboard.press("Tab")
        tab.page.keyboard.press("Enter")
        with bench.log_file.open("a") as file:
            file.write(line("even_later"))
        assert tab.text(".controls button") == "Go on"
        tab.page.keyboard.press("Enter")
        tab.wait("document.querySelectorAll('.line').length == 2", "what was held comes")


NAME = """() => {
  const one = document.activeElement;
  const label = one.labels?.[0]?.querySelector(".unseen")?.innerText;
  return one.getAttribute("aria-label") ?? label ?? one.innerText;
}"""


def focused(tab):
    """What a screen reader calls the focused element."""
    return tab.page.evaluate(NAME)


def test_the_theme_that_is_chosen_stays(browser, bench):
    with Tab(browser, bench.page, color_scheme="dark") as tab:
        tab.wait(READY, "two engines serve")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = tab.page.evaluate(ground)
        tab.page.get_by_role("button", name="Theme: system").click()
        tab.wait(f"{ground} != '{dark}'", "the light theme")
        tab.page.reload()
        tab.wait(READY, "two engines serve")
        assert tab.page.evaluate(ground) != dark
        assert tab.page.get_by_role("button", name="Theme: light").is_visible()


def test_nothing_is_wider_than_the_window(browser, bench):
    troubled(bench)
    with Tab(browser, bench.page) as tab:
        tab.wait("document.querySelectorAll('.alert').length == 2", "the alerts")
        for width in (320, 390, 768, 1920):
            tab.page.set_viewport_size({"width": width, "height": 800})
            tab.wait(f"document.documentElement.scrollWidth <= {width}", f"it fits into {width} pixels")


def test_a_page_that_nobody_sees_hears_nothing(browser, bench):
    with Tab(browser, bench.page) as tab:
        tab.wait(READY, "two engines serve")
        hide(tab, hidden=True)
        wait_until(lambda: quiet(bench), timeout_s=10, what="the stream's end")
        bench.tell(world.engines("gave_up"))
        hide(tab, hidden=False)
        tab.wait("document.querySelector('.engine.bad')", "the news after all")


def hide(tab, *, hidden):
    tab.page.evaluate(
        "(hidden) => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def quiet(bench):
    before = bench.trees_read
    time.sleep(2.2)  # one look at the tree every two seconds, while anybody looks
    return bench.trees_read == before


def test_without_scripts_the_server_writes_the_facts(browser, bench):
    wait_until(lambda: "chat-8b" in bench.get("/")[1], timeout_s=5, what="the facts")
    with Tab(browser, bench.page, java_script_enabled=False) as tab:
        body = tab.text("main")
        for word in ("chat-8b", "loading the weights", "load1", "/root", "mistralai/Mistral-Small-24B-Instruct"):
            assert word in body
        assert tab.strangers == []
        tab.picture("page-plain")
