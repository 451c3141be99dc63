import subprocess
import sys

CODE = """
import sys, warnings
warnings.simplefilter("error")
from actors.cli import lean
lean.load()
import actors.daemon, actors.tree
assert "structlog" in sys.modules and "requests" in sys.modules and "docker" in sys.modules
print([name for name in lean.UNUSED if name in sys.modules])
import rich
"""


def test_the_daemon_loads_nothing_that_only_a_terminal_or_a_guess_needs():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr  # nothing was loaded, and who needs it still can


def test_requests_reads_text_of_no_named_encoding_as_utf_8():
    code = (
        "from actors.cli import lean; lean.load(); import requests; answer = requests.Response(); "
        "answer._content = 'größe'.encode(); answer.status_code = 500; print(answer.text == 'größe')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "True", done.stderr
