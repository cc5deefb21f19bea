"""A work goes in and is done in this process, which an engine started; how it ended comes out, whatever happens."""

from __future__ import annotations

import os
import traceback

from vjepa_fer.engines.desk import Desk, Ended, State, StoppedError, Work
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.workers import SAFE, limit_threads, use_at_most


class Worker:
    """One process of an engine.

    Parameters
    ----------
    folder : str
        Relative paths are meant from here, where there is such a folder.
    cores : int
        That the engine gave to it.
    """

    def __init__(self, folder: str, cores: int) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)
        os.environ.update(SAFE)
        use_at_most(cores)
        limit_threads()
        self._desk = Desk()

    def run(self, work: Work) -> Ended:
        """Do the work; an exception is an end like others, for not every exception can be sent."""
        try:
            return Ended(work(self._desk))
        except StoppedError:
            return Ended(is_stopped=True)
        except VjepaFerError as error:
            return Ended(refused=error.lines)
        except BaseException:
            return Ended(broken=traceback.format_exc())

    def state(self) -> State:
        """Asked while the work is being done."""
        return self._desk.state()

    def stop(self) -> None:
        """Told while the work is being done."""
        self._desk.stop()
