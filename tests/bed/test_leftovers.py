from tests.bed.places import ROOT

pytest_plugins = ["pytester"]

CONFTEST = """
from tests.bed import leftovers
leftovers.SETTLE_S = 0.2
pytest_plugins = ["tests.bed.leftovers"]
"""

TESTS = """
import os, subprocess, threading

def test_thread():
    threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()

def test_process():
    globals()["kept"] = subprocess.Popen(["sleep", "3"])

def test_variable():
    os.environ["FORGOTTEN"] = "1"

def test_folder():
    os.chdir("/")

def test_nothing():
    thread = threading.Thread(target=lambda: None)
    thread.start()
"""


def test_what_a_test_leaves_behind_fails_that_test_and_is_named(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=5, errors=4)
    for said in ("thread forgotten", "process *: sleep 3", "variable FORGOTTEN", "working folder /"):
        result.stdout.fnmatch_lines([f"*the test left over: {said}*"])
