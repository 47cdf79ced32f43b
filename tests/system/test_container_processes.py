"""The first process of containers, under whatever may come; and the processes that it starts.

It runs here without Docker, as the first process of a PID namespace, built to stop at the first
wrong access to memory.
"""

from __future__ import annotations

import array
import errno
import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import LabError
from emulator.kernel.netns import Netns
from emulator.runtime.container_processes import ContainerProcesses, Lifeline, wait_for_socket
from tests.system.terminal import ROOT
from tests.system.waiting import until

pytestmark = pytest.mark.root

MAGIC, LIFELINE, RUN = 0x56464E31, 1, 2
STARTED, REFUSED = 2, 6
HEAD = struct.Struct("=6I64i")
DEADLINE_S = 10.0


class Init:
    """A PID namespace with our first process in it."""

    def __init__(self, program: Path, *limits: str) -> None:
        # Not pytest's own folder: paths of sockets must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="vnf-init-", dir="/tmp"))
        self.path = self.folder / "init.sock"
        self.errors = self.folder / "errors"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*limits, "unshare", "--pid", "--fork", "--kill-child", program, self.path],
                stdin=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "FROM": "the container"},
            )
        try:
            self.life = wait_for_socket(self.path, lambda: self.process.poll() is None, DEADLINE_S)
        except BaseException:
            self.process.kill()
            self.process.wait()
            shutil.rmtree(self.folder)
            raise
        self.processes = ContainerProcesses(self.path, "d1")
        self.here = Netns.from_path("/proc/self/ns/net")

    def popen(self, args: Any, **options: Any) -> subprocess.Popen[Any]:
        return self.processes.popen(self.here, args, **options)

    def run(self, args: Any, **options: Any) -> tuple[Any, int]:
        process = self.popen(
            args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        said, _ = process.communicate(timeout=DEADLINE_S)
        return said, process.returncode

    def dial(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made.settimeout(DEADLINE_S)
        made.connect(str(self.path))
        made.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)
        return made

    @property
    def descriptors(self) -> int:
        """How many the first process has open."""
        return len(list(Path(f"/proc/{self.life.pid}/fd").iterdir()))

    def still_well(self) -> None:
        assert self.run(["echo", "well"]) == ("well\n", 0)

    def close(self) -> str:
        """End it; what it has said of errors."""
        self.life.close()
        self.here.close()
        self.process.wait(DEADLINE_S)
        said = self.errors.read_text()
        shutil.rmtree(self.folder)
        return said


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    subprocess.run(
        ["make", "--silent", "-C", ROOT / "emulator/native", f"SANITIZED={folder}", "sanitize"],
        check=True,
        env={**os.environ, "MAKEFLAGS": ""},
    )
    return folder / "vnf-container"


@pytest.fixture(scope="module")
def init(program: Path) -> Iterator[Init]:
    made = Init(program)
    yield made
    assert made.close() == ""


@contextmanager
def another(program: Path, *limits: str) -> Iterator[Init]:
    """One that a test may end."""
    made = Init(program, *limits)
    with ExitStack() as undo:
        undo.callback(made.close)
        yield made
        undo.pop_all()
        said = made.close()
    assert "vnf-container" not in said
    assert "ERROR" not in said
    assert "runtime error" not in said


def head(
    *, magic: int = MAGIC, kind: int = RUN, flags: int = 4, argc: int = 1, envc: int = 0,
    fds: int = 0, targets: tuple[int, ...] = (),
) -> bytes:  # fmt: skip
    return HEAD.pack(magic, kind, flags, argc, envc, fds, *targets, *[0] * (64 - len(targets)))


# --- a process as subprocess has it


def test_streams_environment_and_exit_status(init: Init) -> None:
    process = init.popen(
        ["sh", "-c", "cat; echo $FROM $MORE; echo aside >&2; exit 3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        extra_env={"MORE": "and more"},
        text=True,
    )
    assert process.communicate("in\n") == ("in\nthe container and more\n", "aside\n")
    assert process.returncode == 3
    assert process.poll() == process.wait() == 3
    assert init.run(["/usr/bin/env"], env={"ONLY": "this"}) == ("ONLY=this\n", 0)


def test_much_can_be_said_both_ways_at_the_same_time(init: Init) -> None:
    data = os.urandom(1 << 20) * 24
    process = init.popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate(data, timeout=60)
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_text_is_of_the_encoding_that_was_asked_for(init: Init) -> None:
    process = init.popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="latin-1", bufsize=1
    )
    assert process.communicate("Grüße") == ("Grüße", None)
    process = init.popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
    )
    assert process.communicate("a\r\nb")[0] == "a\nb"


def test_a_time_limit_ends_the_wait_and_not_the_process(init: Init) -> None:
    with init.popen(["sleep", "1000"], stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            process.wait(0.01)
        assert caught.value.cmd == ["sleep", "1000"]
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=0.01)
        assert process.poll() is None
        process.kill()
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
    process.kill()
    process.terminate()
    process.send_signal(signal.SIGUSR1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_end_a_process_as_they_do_elsewhere(init: Init, number: signal.Signals) -> None:
    process = init.popen(["sleep", "1000"])
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == -number
    process = init.popen(
        ["sh", "-c", f"trap 'exit 7' {number.value}; echo up; while :; do sleep 0.01; done"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 7
    process.stdout.close()


def test_its_number_is_the_one_that_the_machine_gives_it(init: Init) -> None:
    process = init.popen(["sleep", "1000"])
    assert Path(f"/proc/{process.pid}/cmdline").read_bytes() == b"sleep\x001000\0"
    process.kill()
    process.wait(DEADLINE_S)
    until(lambda: not Path(f"/proc/{process.pid}").exists())


def test_the_directory_and_a_shell(init: Init, tmp_path: Path) -> None:
    assert init.run(["pwd"], cwd=tmp_path) == (f"{tmp_path}\n", 0)
    assert init.run("echo $((6*7)) | cat; exit 5", shell=True) == ("42\n", 5)
    found, _ = init.run("echo $BASH_VERSION", shell=True, executable="/bin/bash")
    assert found.strip()
    with pytest.raises(FileNotFoundError) as caught:
        init.popen(["pwd"], cwd="/not/there")
    assert caught.value.filename == "/not/there"


def test_descriptors_arrive_under_their_numbers(init: Init) -> None:
    with ExitStack() as opened:
        numbers = []
        for number in range(20):
            file = opened.enter_context(tempfile.TemporaryFile())
            file.write(f"{number},".encode())
            file.seek(0)
            numbers.append(file.fileno())
        high = os.dup2(numbers[0], 700)
        opened.callback(os.close, high)
        os.lseek(high, 0, os.SEEK_SET)
        cats = [f"cat <&{number};" for number in [*numbers[1:], high]]
        said, status = init.run(["bash", "-c", " ".join(cats)], pass_fds=[*numbers, high])
        expected = "".join(f"{number}," for number in [*range(1, 20), 0])
        assert (said, status) == (expected, 0)
        said, _ = init.run(["ls", "/proc/self/fd"], pass_fds=[high])
        # The last of the small ones is that of the folder itself.
        assert said.split() == ["0", "1", "2", "3", "700"]


def test_so_many_descriptors_are_too_many(init: Init) -> None:
    with pytest.raises(OSError, match="too many descriptors"):
        init.popen(["true"], pass_fds=range(3, 65))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/not/there", FileNotFoundError),
        ("nothing-of-that-name", FileNotFoundError),
        ("/etc/passwd", PermissionError),
        ("/etc", PermissionError),
        ("/etc/passwd/below", NotADirectoryError),
    ],
)
def test_what_cannot_be_run_is_told_as_subprocess_does(
    init: Init, name: str, expected: type[OSError]
) -> None:
    before = init.descriptors
    for popen in (init.popen, subprocess.Popen):
        with pytest.raises(expected) as caught:
            popen([name, "x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert type(caught.value) is expected
        assert caught.value.filename == name
    until(lambda: init.descriptors <= before)


def test_a_file_that_is_no_program(init: Init, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELFnot really")
    broken.chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        init.popen([broken])
    with pytest.raises(OSError, match="Exec format error"):
        init.popen([broken.name], env={"PATH": f"/not/there:{tmp_path}:/usr/bin"})


def test_a_program_is_looked_for_where_the_environment_says(init: Init, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\necho mine\n")
    with pytest.raises(FileNotFoundError):
        init.popen(["mine"])
    with pytest.raises(PermissionError):
        init.popen(["mine"], env={"PATH": f"/not/there:{tmp_path}:/bin"})
    mine.chmod(0o755)
    assert init.run(["mine"], env={"PATH": f"/not/there:{tmp_path}:/bin"}) == ("mine\n", 0)
    assert init.run(["mine"], env={"PATH": ":/bin"}, cwd=tmp_path) == ("mine\n", 0)
    assert init.run(["true"], env={}) == ("", 0)


def test_large_arguments_and_environments(init: Init) -> None:
    longest = "x" * (128 * 1024 - 1)
    said, status = init.run(["printf", "%s", *[longest] * 12])
    assert (len(said), status) == (12 * len(longest), 0)
    large = {f"V{number}": "y" * 100_000 for number in range(10)}
    assert init.run(["sh", "-c", "echo ${#V7}"], extra_env=large) == ("100000\n", 0)
    for words in (["true", longest + "xx"], ["true", *[longest] * 20], ["true", *[longest] * 80]):
        with pytest.raises(OSError, match=os.strerror(errno.E2BIG)):
            init.popen(words)
    init.still_well()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"preexec_fn": print}, "preexec_fn"),
        ({"user": 1}, "user"),
        ({"group": 1}, "group"),
        ({"umask": 0o22}, "umask"),
        ({"process_group": 0}, "process_group"),
        ({"executable": "/bin/sh"}, "executable"),
    ],
)
def test_options_that_cannot_be_had_are_refused(
    init: Init, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        init.popen(["true"], **options)


def test_a_zero_in_a_word_is_refused_and_an_empty_word_is_none_the_less_one(init: Init) -> None:
    with pytest.raises((OSError, ValueError)):
        init.popen(["printf", "a\0b"])
    assert init.run(["printf", "[%s]", "", "b", ""]) == ("[][b][]", 0)


def test_many_processes_at_once(init: Init) -> None:
    before = init.descriptors
    running = [
        init.popen(["sh", "-c", f"read x; exit {number}"], stdin=subprocess.PIPE)
        for number in range(200)
    ]
    assert len({process.pid for process in running}) == 200
    for process in reversed(running):
        process.communicate(b"\n", timeout=DEADLINE_S)
    assert [process.returncode for process in running] == list(range(200))
    until(lambda: init.descriptors <= before)


def test_many_threads_start_and_wait(init: Init) -> None:
    statuses: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            process = init.popen(["sh", "-c", f"exit {number}"])
            statuses.append(process.wait(DEADLINE_S))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == sorted(list(range(8)) * 20)


def test_several_threads_may_wait_for_the_same_process(init: Init) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            process = init.popen(["sh", "-c", "exit 4"])
            waiting = [pool.submit(process.wait, DEADLINE_S) for _ in range(8)]
            while process.poll() is None:
                pass
            assert [each.result() for each in waiting] == [4] * 8


def test_processes_that_leave_their_parents_leave_no_zombies(init: Init) -> None:
    orphan = "import os, time\nif os.fork() == 0:\n os.setsid()\n os.fork()\n os._exit(0)"
    for _ in range(10):
        init.popen([sys.executable, "-c", orphan]).wait(DEADLINE_S)
    space = os.readlink(f"/proc/{init.life.pid}/ns/pid")

    def in_it() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.readlink(process / "ns/pid") == space and process.name.isdigit():
                    found.append(process.name)
        return found

    until(lambda: in_it() == [str(init.life.pid)])


def test_what_is_printed_is_copied_to_a_log(init: Init, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = init.processes.popen_logged(
            init.here, ["sh", "-c", "echo one; echo two >&2"], log.fileno()
        )
    assert process.wait(DEADLINE_S) == 0
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_the_last_words_are_there_when_the_end_is_told(init: Init, tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    for _ in range(10):
        with log_file.open("wb") as log:
            process = init.processes.popen_logged(
                init.here, ["sh", "-c", "sleep 0.5 & seq 50000; echo last"], log.fileno()
            )
        assert process.wait(DEADLINE_S) == 0
        lines = log_file.read_text().splitlines()
        assert (len(lines), lines[-1]) == (50001, "last")


# --- what others may do to it


def test_nobody_in_the_container_is_served(init: Init) -> None:
    asks = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"s.connect({str(init.path)!r})\n"
        "try:\n"
        "    s.send(b'x' * 300)\n"
        "    print(len(s.recv(100)))\n"
        "except OSError as error:\n"
        "    print('refused')\n"
    )
    said, _ = init.run([sys.executable, "-c", asks])
    assert said in ("0\n", "refused\n")
    nested, _ = init.run(["unshare", "--pid", "--fork", sys.executable, "-c", asks])
    assert nested in ("0\n", "refused\n")
    init.still_well()


@pytest.mark.parametrize(
    "message",
    [
        b"?",
        b"x" * (HEAD.size - 1),
        head(magic=1) + b"\0true\0",
        head(kind=99) + b"\0true\0",
        head(kind=0),
        head(),
        head() + b"\0true",
        head() + b"\0",
        head(argc=0) + b"\0",
        head(argc=0xFFFFFFFF, envc=0xFFFFFFFF) + b"\0true\0",
        head(argc=0xFFFFFFFF) + b"\0true\0",
        head(argc=0x7FFFFFFF, envc=0x7FFFFFFF) + b"\0true\0",
        head(argc=2) + b"\0true\0",
        head(envc=1) + b"\0true\0",
        head() + b"\0true\0more\0",
        head(fds=1) + b"\0true\0",
        head(fds=0xFFFFFFFF) + b"\0true\0",
        head(kind=LIFELINE, fds=65),
        head() + b"\0true\0" + bytes(4 << 20),
        HEAD.pack(*[0xFFFFFFFF] * 6, *[-1] * 64),
    ],
)
def test_a_request_that_is_none_is_refused(init: Init, message: bytes) -> None:
    with init.dial() as caller:
        caller.send(message)
        answers: list[bytes] = []
        while not answers or answers[-1]:
            with suppress(ConnectionResetError):  # it has not even been read
                answers.append(caller.recv(100))
        kind, value = struct.unpack("=Ii", answers[0])
        assert kind == REFUSED
        assert value > 0
        assert answers[1:] == [b""]
    init.still_well()


@pytest.mark.parametrize("target", [-2, -(1 << 31), (1 << 31) - 1, 1 << 25])
def test_a_number_that_no_descriptor_has_is_refused(init: Init, target: int) -> None:
    with init.dial() as caller, tempfile.TemporaryFile() as file:
        rights = array.array("i", [file.fileno()])
        request = head(fds=1, targets=(target,)) + b"\0true\0"
        caller.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        assert struct.unpack("=Ii", caller.recv(100)) == (REFUSED, errno.EINVAL)
    init.still_well()


@pytest.mark.parametrize("number", [1, 64, 65, 200])
def test_descriptors_that_nobody_asked_for_do_not_stay(init: Init, number: int) -> None:
    init.still_well()
    before = init.descriptors
    for _ in range(5):
        with init.dial() as caller:
            rights = array.array("i", [0] * number)
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            caller.sendmsg([head() + b"\0true\0"], control)
            assert struct.unpack("=Ii", caller.recv(100))[0] == REFUSED
    until(lambda: init.descriptors <= before)


def test_a_connection_may_close_at_any_time(init: Init, tmp_path: Path) -> None:
    before = init.descriptors
    mark = tmp_path / "mark"
    request = head(argc=2) + b"\0touch\0" + os.fsencode(mark) + b"\0"
    init.dial().close()
    for size in (1, 100, HEAD.size, len(request) - 1):
        with init.dial() as caller:
            caller.send(request[:size])
    assert not mark.exists()
    with init.dial() as caller:
        caller.send(b"")
        caller.shutdown(socket.SHUT_WR)
    with init.dial() as caller:
        caller.send(request)
        caller.recv(100)
    until(mark.exists)
    until(lambda: init.descriptors <= before)
    init.still_well()


def test_what_a_stopped_one_was_asked_for_by_one_who_has_gone_is_not_done(
    init: Init, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    os.kill(init.life.pid, signal.SIGSTOP)
    try:
        with init.dial() as caller:
            caller.send(head(argc=2) + b"\0touch\0" + os.fsencode(mark) + b"\0")
    finally:
        os.kill(init.life.pid, signal.SIGCONT)
    init.still_well()
    assert not mark.exists()


def test_a_second_request_on_a_connection_gives_the_first_process_up(init: Init) -> None:
    before = init.descriptors
    with init.dial() as caller:
        caller.send(head(argc=2) + b"\0sleep\x000.1\0")
        assert struct.unpack("=Ii", caller.recv(100))[0] == 1
        caller.send(head() + b"\0true\0")
        until(lambda: init.descriptors <= before)
    init.still_well()


def test_a_thousand_connections(init: Init) -> None:
    before = init.descriptors
    with ExitStack() as opened:
        for _ in range(400):
            opened.enter_context(init.dial())
        init.still_well()
    for _ in range(600):
        init.dial().close()
    until(lambda: init.descriptors <= before)
    init.still_well()


def test_too_few_open_files_are_told_and_do_not_last(program: Path) -> None:
    with another(program, "prlimit", "--nofile=40:40") as init:
        with ExitStack() as opened:
            for _ in range(60):
                with suppress(OSError):
                    opened.enter_context(init.dial())
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                init.popen(["true"])
        until(lambda: init.descriptors < 15)
        init.still_well()
        with tempfile.TemporaryFile() as file:
            high = os.dup2(file.fileno(), 90)
            try:
                with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                    init.popen(["true"], pass_fds=[high])
            finally:
                os.close(high)
        init.still_well()


def test_it_ends_with_its_lifeline_and_all_that_runs_in_it_too(program: Path) -> None:
    with another(program) as init:
        process = init.popen(["sleep", "1000"])
        deaf = init.popen(["sh", "-c", "trap '' TERM; sleep 1000"])
        init.life.close()
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
        assert deaf.wait(DEADLINE_S) == -signal.SIGKILL
        assert init.process.wait(DEADLINE_S) == 0
        with pytest.raises(LabError, match="the container has ended") as caught:
            init.popen(["true"])
        assert caught.value.where == "d1"


@pytest.mark.parametrize("gentle", ["end", "SIGTERM"])
def test_a_gentle_end_lets_processes_tidy_up(program: Path, tmp_path: Path, gentle: str) -> None:
    mark = tmp_path / "mark"
    with another(program) as init:
        script = f"trap 'touch {mark}; exit' TERM; echo up; while :; do sleep 0.01; done"
        process = init.popen(["sh", "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        if gentle == "end":
            init.life.end()
        else:
            os.kill(init.life.pid, signal.SIGTERM)
        assert init.life.wait(DEADLINE_S)
        process.wait(DEADLINE_S)
        process.stdout.close()
    assert mark.exists()


def test_its_sudden_end_is_told(program: Path) -> None:
    with another(program) as init:
        process = init.popen(["sleep", "1000"])
        os.kill(init.life.pid, signal.SIGKILL)
        assert process.wait(DEADLINE_S) == -signal.SIGKILL
        assert init.life.wait(DEADLINE_S)
        assert not init.life.alive
        with pytest.raises(LabError, match="the container has ended"):
            init.popen(["true"])
        with pytest.raises(LabError, match="the container has ended"):
            wait_for_socket(init.path, lambda: False, DEADLINE_S)


def test_a_second_lifeline_is_as_good_as_the_first(program: Path) -> None:
    with another(program) as init:
        Lifeline(init.path).close()
        assert init.life.wait(DEADLINE_S)


def test_wrong_use_and_a_path_that_is_too_long(program: Path, tmp_path: Path) -> None:
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: vnf-container SOCKET\n")
    done = subprocess.run([program, "/tmp/" + "x" * 110], capture_output=True, text=True)
    assert done.returncode == 1
    assert "File name too long" in done.stderr
    done = subprocess.run([program, tmp_path / "not" / "there"], capture_output=True, text=True)
    assert done.returncode == 1
