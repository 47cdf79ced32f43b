"""Which scripts count on Open vSwitch without saying so."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from emulator.compat.ovs_wanted import ovs_call_of_script


def found(monkeypatch: pytest.MonkeyPatch, path: Path) -> str:
    main = ModuleType("__main__")
    main.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "__main__", main)
    return ovs_call_of_script()


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("import os\nos.system('ovs-ofctl add-flow s1 actions=normal')", "ovs-ofctl"),
        ("check_output(split(f'sudo ovs-vsctl get Interface {name} ofport'))", "ovs-vsctl"),
        ("run(['ovs-appctl', 'fdb/show', 's1'])", "ovs-appctl"),
        ("s1.dpctl('dump-flows')", ".dpctl()"),
        ("# ovs-ofctl would show it\nprint('nothing')", ""),
        ('"""Look at it with ovs-ofctl."""\ndef f():\n    "Or ovs-vsctl."\n', ""),
        ("print('the OVS switch')", ""),
        ("print 'ovs-ofctl'", ""),
    ],
)
def test_calls_count_and_descriptions_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, call: str
):
    path = tmp_path / "lab.py"
    path.write_text(text)
    assert found(monkeypatch, path) == call


def test_a_module_beside_the_script_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "lab.py").write_text("import flows_of_the_test")
    helper = tmp_path / "flows_of_the_test.py"
    helper.write_text("RULE = 'ovs-ofctl add-flow {}'")
    module = ModuleType("flows_of_the_test")
    module.__file__ = str(helper)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert found(monkeypatch, tmp_path / "lab.py") == "ovs-ofctl"


def test_without_a_script_nothing_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    assert ovs_call_of_script() == ""
    assert found(monkeypatch, tmp_path / "gone.py") == ""
