"""The commands go in; each of their options has a variable of its own then: ``VJEPA_FER_PROBE_FOLDS`` is ``probe --folds``.

What is typed comes before the variable, and the variable before a file (``--config``) and the default.
"""

from __future__ import annotations

from typing import Any

NOT_BY_ENVIRONMENT = ("", "help", "version", "install-completion", "show-completion")


def name_variables(command: Any, prefix: str = "VJEPA_FER") -> None:
    """Give every option of `command` and of the commands below it its variable.

    By the option's name, which people see, and not by the parameter's behind it; not shown in ``--help``, which would
    double in length: the help of the program says the rule.
    """
    for parameter in command.params:
        name = long_name(parameter)
        if name not in NOT_BY_ENVIRONMENT and parameter.envvar is None:
            parameter.envvar = _variable(prefix, name)
            parameter.show_envvar = False
    for name, below in getattr(command, "commands", {}).items():
        name_variables(below, _variable(prefix, name))


def long_name(parameter: Any) -> str:
    """``"frame-step"`` of the option ``--frame-step``; empty for an argument."""
    return next((option[2:] for option in parameter.opts if option.startswith("--")), "")


def _variable(prefix: str, name: str) -> str:
    return f"{prefix}_{name}".upper().replace("-", "_")
