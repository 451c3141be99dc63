"""The page of a real daemon: a real engine of Docker dies and comes back before one's eyes."""

import argparse
import shutil
from contextlib import ExitStack

import pytest

from tests.bed import demo_steps as steps
from tests.bed.browser import Tab, chromium
from tests.bed.demo_world import World
from tests.bed.places import short_folder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180, func_only=True)]
STATE = "document.querySelector('.engine .badge')?.innerText"


@pytest.fixture
def served(docker_engine, llama_image):
    """A daemon that serves one engine."""
    folder = short_folder()
    world = World(folder, docker_engine.host)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.callback(steps.remove_containers, world)
        stack.callback(world.close)
        wanted = argparse.Namespace(engine="llamacpp", image=llama_image, model=None)
        parts = steps.bring_parts(stack, world, wanted)
        for step in (steps.start_master, steps.enroll_agent, steps.pull_model, steps.start_engine):
            step(world, parts, None)
        yield world


KILLS_MAX = 4


def test_an_engine_dies_and_comes_back(served):
    page = served.agent_command("status")["page"]
    with chromium() as browser, Tab(browser, page) as tab:
        tab.wait(f"{STATE} == 'ready'", "the engine serves")
        assert tab.text(".verdict h2") == f"{steps.ENGINE} is serving"
        before = served.engine(steps.ENGINE)
        # Every state that the card shows is noted in the page itself: the way back is quick.
        tab.page.evaluate(
            "window.seen = [];"
            "new MutationObserver(() => window.seen.push(document.querySelector('.engine')?.innerText))"
            ".observe(document.querySelector('#app'), {subtree: true, childList: true, characterData: true})"
        )
        kills = _kill_until_seen(served, tab, before)
        tab.wait(
            f"{STATE} == 'ready' && document.querySelector('.engine').innerText.includes('{kills} restart')",
            "it is back",
        )
        assert served.engine(steps.ENGINE)["restarts"] == before["restarts"] + kills
        tab.wait("document.querySelector('.events').innerText.includes('137')", "the event says why")
        tab.wait("document.querySelectorAll('.line').length > 5", "the daemon's own log")
        tab.wait("document.querySelectorAll('canvas').length >= 5", "the charts")
        assert tab.page.locator(".chart .reason").count() == 0
        assert served.chat(served.engine(steps.ENGINE)["endpoint"], steps.PROMPT)
        tab.picture("daemon")
        (engine,) = served.agent_command("top")["engines"]
        assert (engine["name"], engine["state"]) == (steps.ENGINE, "ready")
        assert tab.complaints == []
        assert tab.strangers == []


def _kill_until_seen(served, tab, engine):
    """The first restart comes at once and may be over between two looks of the page; those that follow wait longer."""
    for kills in range(1, KILLS_MAX + 1):
        steps._docker(served, "kill", engine["container_id"])
        engine = served.wait_engine(
            steps.ENGINE,
            lambda now, last=engine: now["state"] == "ready" and now["container_id"] != last["container_id"],
            "it is back",
            60.0,
        )
        if tab.page.evaluate("window.seen.some((text) => !text.includes('\\nready'))"):
            return kills
    raise AssertionError(f"the page never showed that the engine was down, over {KILLS_MAX} kills")
