import json
import subprocess
import sys

PROGRAM = """
import json, resource
from actors.master.server import allow_open_files
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
print(json.dumps([allow_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


def test_a_master_may_open_as_many_files_as_the_hard_limit_says():
    done = subprocess.run(  # our own program, in a process of its own since a limit is the process's
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    allowed, soft, hard = json.loads(done.stdout)
    assert soft == allowed
    assert soft == min(hard, 1 << 20) if hard >= 0 else soft == 1 << 20
