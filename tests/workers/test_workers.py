"""Promises of vjepa_fer.workers: results come back whatever happens to a process, and mistakes are raised here."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from vjepa_fer.errors import ProbeError, VjepaFerError
from vjepa_fer.workers import Lost, run_program, run_tasks


def square(task):
    return task * task


def die_on(deadly, task):
    if task == deadly:
        os._exit(9)
    return task


def die_once(marker, task):
    """Killed the first time it is asked for 1, well the second time."""
    if task == 1 and not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    return task


def refuse(task):
    raise ProbeError(f"task {task} is not to be done")


class WantsTwo(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail_with_two(task):
    raise WantsTwo("one", "two")


def generate(task):
    yield task


def threads(task):
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_task_is_done_once(jobs):
    assert sorted(run_tasks(square, range(4), jobs=jobs)) == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_a_task_that_kills_its_process_is_lost_alone():
    results = dict(run_tasks(partial(die_on, 2), range(4), jobs=2))
    assert {n: r for n, r in results.items() if n != 2} == {0: 0, 1: 1, 3: 3}
    assert results[2] == Lost(9)
    assert "its process died 2 times, exit code 9" in str(results[2])


def test_a_task_whose_process_died_by_chance_is_done_again(tmp_path):
    assert dict(run_tasks(partial(die_once, str(tmp_path / "died")), range(3), jobs=2)) == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_mistake_is_raised_here_with_its_own_words(jobs):
    with pytest.raises(ProbeError, match="is not to be done"):
        list(run_tasks(refuse, range(3), jobs=jobs))


def test_what_cannot_be_sent_home_is_an_error_that_says_so():
    with pytest.raises(VjepaFerError, match=r"could not send home what it has \(generator: .*cannot pickle"):
        list(run_tasks(generate, range(2), jobs=2))
    with pytest.raises(VjepaFerError, match=r"could not send home what it has \(WantsTwo: one and two\)"):
        list(run_tasks(fail_with_two, range(2), jobs=2))


def test_a_function_that_no_other_process_can_find_is_refused_here():
    with pytest.raises(
        VjepaFerError, match=r"lambda.* cannot be sent to other processes .*define it at the top of a module"
    ):
        list(run_tasks(lambda task: task, range(2), jobs=2))


# where processes find what they are to do


def run_script(folder, text, *, status=0):
    """Run a script of `text` in its folder, from another one."""
    (folder / "script.py").write_text("import sys\nfrom vjepa_fer.workers import run_tasks\n" + text)
    command = [sys.executable, str(folder / "script.py"), "3"]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done


GUARDED = "if __name__ == '__main__':\n    print(sorted(run_tasks(function, range(3), jobs=2)))\n"
ANSWER = "[Done(number=0, result=0), Done(number=1, result=3), Done(number=2, result=6)]\n"


@pytest.mark.parametrize(
    "definition",
    [
        "FACTOR = int(sys.argv[1])\ndef function(task):\n    return FACTOR * task\n",
        "from beside import function\n",
        "from functools import partial\nimport package.module\nfunction = partial(package.module.times, 3)\n",
    ],
)
def test_a_script_may_define_the_function_or_import_it_from_beside_it(tmp_path, definition):
    (tmp_path / "beside.py").write_text("def function(task):\n    return 3 * task\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "module.py").write_text("def times(n, task):\n    return n * task\n")
    assert run_script(tmp_path, definition + GUARDED).stdout == ANSWER


def test_a_class_of_the_script_comes_home_as_itself(tmp_path):
    text = "class Thing:\n    pass\ndef make(task):\n    return Thing()\nif __name__ == '__main__':\n"
    text += "    print({type(thing) is Thing for _, thing in run_tasks(make, range(2), jobs=2)})"
    assert run_script(tmp_path, text).stdout == "{True}\n"


def test_a_script_without_its_guard_is_told(tmp_path):
    text = "def function(task):\n    return task\nprint(list(run_tasks(function, range(2), jobs=2)))\n"
    assert "must do so under `if __name__ == '__main__':`" in run_script(tmp_path, text, status=1).stderr


def test_a_session_finds_modules_of_its_folder_but_none_of_where_it_went(tmp_path):
    sent = tmp_path / "sent"
    sent.mkdir()
    for folder, text in ((tmp_path, "def function(task):\n    return 3 * task\n"), (sent, "raise SystemExit(7)\n")):
        (folder / "beside.py").write_text(text)
    (sent / "pickle.py").write_text("raise SystemExit(7)\n")
    code = "import os\nfrom vjepa_fer.workers import run_tasks\nfrom beside import function\nos.chdir('sent')\n"
    code += "print(sorted(run_tasks(function, range(3), jobs=2)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == ANSWER, done.stderr


def test_a_function_typed_into_a_session_is_refused():
    code = "from vjepa_fer.workers import run_tasks\ndef f(task): return task\nlist(run_tasks(f, [1, 2], jobs=2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is defined where no other process can read it: work with one process, or define it" in done.stderr


def test_a_child_does_not_look_where_its_parent_looks_for_lack_of_a_name(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text("print('was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    done = run_program("import sys, trap", timeout_seconds=60)
    assert "No module named 'trap'" in done.stderr
    assert run_program("import os; print(os.environ['PYTHONSAFEPATH'])", timeout_seconds=60).stdout == "1\n"


def test_a_child_looks_where_its_parent_looks_and_in_the_same_order(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("print('mine')")
    monkeypatch.syspath_prepend(tmp_path)
    assert run_program("import json", timeout_seconds=60).stdout == "mine\n"


# how many of them there may be


def test_processes_share_the_cores_and_this_one_keeps_its_settings(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)), raising=False)
    assert dict(run_tasks(threads, range(2), jobs=2)) == {0: "4", 1: "4"}
    assert "OMP_NUM_THREADS" not in os.environ


def test_what_a_person_set_is_theirs(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert dict(run_tasks(threads, range(2), jobs=2)) == {0: "3", 1: "3"}
