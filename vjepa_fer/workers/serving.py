"""One of a crew, in a process of its own: a letter comes in, then tasks; ``(True, result)`` or ``(False, exception)`` goes out for each."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from vjepa_fer.errors import VjepaFerError
from vjepa_fer.workers.letters import Letter, open_letter, receive, send
from vjepa_fer.workers.parent import own_the_answers


def main() -> None:
    """Serve until the parent closes the pipe; it kills a process that it does not need any more."""
    answers, questions = own_the_answers(), sys.stdin.buffer
    with suppress(EOFError, BrokenPipeError):
        letter: Letter = receive(questions)
        function: Callable[[Any], Any] | None = None
        while True:
            task = receive(questions)
            try:
                function = function or open_letter(letter)
                answer = (True, function(task))
            except Exception as error:  # sent home and raised there
                answer = (False, error)
            send(answers, _sendable(answer))


def _sendable(answer: tuple[bool, Any]) -> tuple[bool, Any]:
    """The answer, or an error in its place where it cannot be pickled, or would not come out of its pickle."""
    try:
        text = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        if not answer[0]:
            pickle.loads(text)  # noqa: S301  our own; exceptions may want more arguments than they keep
    except Exception as error:
        what = f"{type(answer[1]).__name__}: {str(answer[1])[:200]}"
        return False, VjepaFerError(f"a process could not send home what it has ({what}): {error}")
    return answer
