import gc
import warnings

import pytest

from actors.engines.containers import DockerContainers
from config.engines import EnginesSettings
from tests.bed import odd_engine


@pytest.mark.e2e
def test_the_beginning_of_a_long_log_is_read_and_its_connection_ends(docker_engine):
    image = odd_engine.ensure_image(docker_engine.host)
    containers = DockerContainers(EnginesSettings(docker_host=docker_engine.host))
    with docker_engine.client() as client:
        made = client.containers.run(image, environment={"LLAMA_ARG_ODD": "flood,exit=1"}, detach=True)
        try:
            made.wait(timeout=30)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = containers.first_logs(made.id, 5)
                gc.collect()  # a socket that nobody closed would be told here
        finally:
            made.remove(force=True)
    assert len(found) == 5
    assert found[0].startswith("odd engine:")
