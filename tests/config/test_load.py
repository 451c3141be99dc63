import pytest

from config.document import parse_document
from config.errors import ConfigFileError, ConfigValueError
from config.load import load_settings, load_text
from config.settings import Settings


def problems(text, environ=None, tmp_path=None):
    with pytest.raises(ConfigValueError) as caught:
        load_text(text, "node.yaml")
    return caught.value.problems


def test_an_empty_text_is_the_defaults():
    assert load_text("") == Settings()


def test_an_unknown_key_names_file_line_and_the_nearest():
    (problem,) = problems("# a comment\nlog:\n  lvel: info\n")
    assert (problem.file, problem.line, problem.key) == ("node.yaml", 3, "log.lvel")
    assert problem.nearest == "log.level"
    assert str(problem) == "node.yaml:3: log.lvel: unknown key (did you mean log.level?)"


def test_an_unknown_section_without_a_neighbour_lists_what_is_known():
    (problem,) = problems("zzzz: {}\n")
    assert "known here:" in problem.allowed
    assert "paths" in problem.allowed


def test_a_wrong_value_names_the_value_and_what_is_allowed():
    (problem,) = problems("log:\n  level: loud\n")
    assert problem.line == 2
    assert problem.value == "'loud'"
    assert "'debug'" in problem.allowed


def test_every_fault_is_told_at_once():
    found = problems("log:\n  level: loud\n  files_kept: 0\n  nope: 1\n")
    assert {problem.key for problem in found} == {"log.level", "log.files_kept", "log.nope"}


def test_a_value_out_of_range_says_the_bound():
    (problem,) = problems("log: {files_kept: 1000}\n")
    assert "100" in problem.allowed


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("log:\n  level: info\n  level: debug\n", 3, "stands twice"),
        ("log: [\n", 2, "not valid YAML"),
        ("- a\n", 1, "must be a mapping"),
        ("a: &x 1\nb: *x\n", 2, "aliases"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "unknown section"),
        ("? [a]\n: 1\n", 1, "plain word"),
    ],
)
def test_a_text_that_is_no_configuration_is_refused_with_its_line(text, line, words):
    if words == "unknown section":
        with pytest.raises((ConfigFileError, ConfigValueError)):
            load_text(text, "f")
        return
    with pytest.raises(ConfigFileError) as caught:
        load_text(text, "f")
    assert caught.value.line == line
    assert words in str(caught.value)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ConfigFileError, match="No such file"):
        load_settings(tmp_path / "no.yaml", {})


def test_the_environment_overrides_the_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("log:\n  level: info\n  files_kept: 3\n")
    settings = load_settings(file, {"MOSALAMA_LOG__LEVEL": "debug", "OTHER": "x"})
    assert settings.log.level == "debug"
    assert settings.log.files_kept == 3


def test_a_wrong_override_names_its_variable(tmp_path):
    with pytest.raises(ConfigValueError) as caught:
        load_settings(None, {"MOSALAMA_LOG__LEVEL": "loud"})
    assert "environment MOSALAMA_LOG__LEVEL" in str(caught.value)


def test_a_value_under_a_secret_name_is_not_repeated():
    (problem,) = problems("log:\n  token: planted-secret-1234\n")
    assert "planted-secret" not in str(problem)


def test_lines_are_kept_for_every_key():
    document = parse_document("a:\n  b: [1,\n    2]\n", "f")
    assert document.lines["a", "b"] == 2
    assert document.lines["a", "b", "1"] == 3


def test_a_huge_text_is_refused():
    with pytest.raises(ConfigFileError, match="larger"):
        parse_document("x" * (1 << 21), "f")
