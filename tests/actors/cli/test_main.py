from click.testing import CliRunner

from actors.cli.main import COMMANDS, cli
from config.example import example_text


def invoke(*arguments):
    return CliRunner().invoke(cli, list(arguments))


def test_the_version_is_the_distributions():
    assert invoke("--version").output == "mosalamaagent 0.1.0\n"


def test_every_command_explains_itself():
    shown = invoke("--help").output
    for name in COMMANDS:
        assert name in shown
        assert "Usage:" in invoke(name, "--help").output


def test_an_unknown_command_is_wrong_use():
    assert invoke("no-such").exit_code == 2


def test_the_example_command_prints_the_shipped_file():
    assert invoke("example-config").output == example_text()


def test_check_config_accepts_the_example(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(example_text())
    assert invoke("check-config", "--config", str(file)).exit_code == 0


def test_check_config_exits_78_and_names_the_place(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("log:\n  lvel: info\n")
    result = invoke("check-config", "--config", str(file))
    assert result.exit_code == 78
    assert f"{file}:2: log.lvel: unknown key (did you mean log.level?)" in result.output


def test_run_starts_nothing_on_a_bad_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"paths: {{state_dir: {tmp_path}/state}}\nlog: {{level: loud}}\n")
    assert invoke("run", "--config", str(file)).exit_code == 78
    assert not (tmp_path / "state").exists()
