"""The images of the stand-ins, each with its program where the engine's own image has its entry point."""

from pathlib import Path

from tests.bed.python_image import PythonImage

HERE = Path(__file__).parent
TGI = PythonImage("stand-in-tgi", {"tgi-entrypoint.sh": HERE / "tgi.py"}, ("/tgi-entrypoint.sh",))
SGLANG = PythonImage("stand-in-sglang", {"usr/lib/python3/dist-packages/sglang/launch_server.py": HERE / "sglang.py"})
BY_KIND = {"tgi": TGI, "sglang": SGLANG}
