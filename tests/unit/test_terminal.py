"""What is left in a terminal when a program that had it has ended."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator

import pytest

from emulator.runtime.terminal import readable, take_unread


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The master and the slave of a terminal."""
    master, slave = os.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def test_lines_and_the_one_that_was_begun_are_taken_once(ends: tuple[int, int]) -> None:
    master, slave = ends
    before = termios.tcgetattr(slave)
    os.write(master, b"read\rleft\rbegu")
    assert readable([slave], 30.0)  # a terminal hands its data on from a work queue
    assert os.read(slave, 100) == b"read\n"
    assert take_unread(master) == "left\nbegu"
    assert take_unread(master) == ""
    assert termios.tcgetattr(slave) == before


def test_a_ctrl_d_and_half_a_letter_are_no_text(ends: tuple[int, int]) -> None:
    master, slave = ends
    os.write(master, b"\x04a\xc3\r")
    assert readable([slave], 30.0)
    assert take_unread(master) == "a\n"
