"""Search goals: what counts as throughput, by name."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.amounts import parse_duration
from emulator.errors import UsageError
from emulator.measure.throughput import packets_to_bound


@dataclass(frozen=True)
class SearchGoal:
    """When a load counts as carried, and how closely the limit is looked for (RFC 9971, §4.6.7).

    Attributes:
        name: what people call it.
        loss_ratio: the highest loss of a trial that still counts as good, in lost packets per
            packet sent.
        exceed_ratio: the share of the trials at a load, by their time, that may be worse.
        final_trial_s: the length of a full trial; only these prove that a load is carried.
        duration_sum_s: how long the full trials at a load last together, at most, before the load
            is judged. Fewer do when the rest of them could not change the verdict.
        initial_trial_s: the length of the shortest trials, with which the search feels its way.
        width: ends the search when the highest good load is so near to the lowest bad one, as a
            ratio to the latter.

    Raises:
        UsageError: a value makes no sense.
    """

    name: str
    loss_ratio: float
    exceed_ratio: float
    final_trial_s: float
    duration_sum_s: float
    initial_trial_s: float
    width: float

    def __post_init__(self) -> None:
        for what, ratio in (("loss", self.loss_ratio), ("exceed ratio", self.exceed_ratio)):
            if not 0 <= ratio < 1:
                raise self._error(
                    f"a {what} of {ratio} is no goal", "it is a ratio from 0 to below 1"
                )
        if not 0 < self.width < 1:
            raise self._error(
                f"a width of {self.width} is not possible", "it is a ratio, such as 0.02"
            )
        if not 0 < self.initial_trial_s <= self.final_trial_s <= self.duration_sum_s < float("inf"):
            raise self._error(
                f"trials of {self.initial_trial_s:g} s to {self.final_trial_s:g} s and "
                f"{self.duration_sum_s:g} s together do not go with each other",
                "the first trials are no longer than the full ones, these no longer than their sum",
            )

    def _error(self, message: str, hint: str) -> UsageError:
        return UsageError(message, where=f"goal {self.name}", hint=hint)

    @property
    def packets_needed(self) -> int:
        """How many packets a trial must send to be evidence, see :func:`packets_to_bound`."""
        return packets_to_bound(self.loss_ratio)


GOALS: dict[str, SearchGoal] = {
    goal.name: goal
    for goal in (
        SearchGoal("rfc2544", 0.0, 0.0, 60.0, 60.0, initial_trial_s=1.0, width=0.005),
        SearchGoal("tst009", 0.0, 0.5, 60.0, 120.0, initial_trial_s=1.0, width=0.005),
        SearchGoal("csit-ndr", 0.0, 0.5, 1.0, 21.0, initial_trial_s=1.0, width=0.005),
        SearchGoal("csit-pdr", 0.005, 0.5, 1.0, 21.0, initial_trial_s=1.0, width=0.005),
        SearchGoal("quick", 0.001, 0.5, 0.5, 5.0, initial_trial_s=0.1, width=0.02),
    )
}
"""The goals that have a name.

- ``rfc2544``: the throughput of RFC 2544, §24 and §26.1: not one packet lost in a trial of 60 s
  (RFC 9971, §4.10.2, "MLRsearch Compliant with RFC 2544").
- ``tst009``: binary search with loss verification (ETSI GS NFV-TST 009, §12.3.3): a trial that
  loses packets is made once more (RFC 9971, §4.10.3, "MLRsearch Compliant with TST009").
- ``csit-ndr``, ``csit-pdr``: the non-drop rate, and the partial drop rate with a loss of 0.5 %, of
  the FD.io CSIT project, whose values are also the defaults of the library that searches.
- ``quick``: our own, for a laptop: 5 to 10 s on a path that is steady, 44 s at most by default.

RFC 9971 leaves the length of the first trials to the implementation. They decide only where the
search looks, and for ``rfc2544`` and ``tst009`` we take the 1 s of CSIT.
"""


_OWN = "loss=1%/trial=1s/sum=3s/width=2%"
_OWN_KEYS = ("loss", "exceed", "trial", "sum", "width")


def goal_named(name: str) -> SearchGoal:
    """The goal of that name, or one of the user's own.

    Args:
        name: one of :data:`GOALS`, or ``loss=1%/trial=1s/sum=3s/width=2%``, where ``exceed=`` may
            stand too; what is left out is as in the goal ``quick``, and the sum no less than a
            trial.

    Raises:
        UsageError: there is no such goal.
    """
    if name in GOALS:
        return GOALS[name]
    if "=" not in name:
        raise UsageError(
            f"there is no goal {name!r}",
            hint=f"the goals are {', '.join(GOALS)}, or one of your own such as {_OWN}",
        )
    given: dict[str, str] = {}
    for word in name.split("/"):
        key, equals, value = (part.strip() for part in word.partition("="))
        if not equals or key not in _OWN_KEYS or key in given:
            raise UsageError(
                f"{word!r} is no part of a goal",
                where=f"goal {name}",
                hint=f"such as {_OWN}; its keys are {', '.join(_OWN_KEYS)}, each once",
            )
        given[key] = value
    usual, where = GOALS["quick"], f"goal {name}"
    trial_s = _seconds(given.get("trial"), usual.final_trial_s, where)
    return SearchGoal(
        name=name,
        loss_ratio=_ratio(given.get("loss"), usual.loss_ratio, where),
        exceed_ratio=_ratio(given.get("exceed"), usual.exceed_ratio, where),
        final_trial_s=trial_s,
        duration_sum_s=_seconds(given.get("sum"), max(trial_s, usual.duration_sum_s), where),
        initial_trial_s=min(trial_s, usual.initial_trial_s),
        width=_ratio(given.get("width"), usual.width, where),
    )


def _seconds(text: str | None, usual_s: float, where: str) -> float:
    return usual_s if text is None else parse_duration(text, where=where)


def _ratio(text: str | None, usual: float, where: str) -> float:
    if text is None:
        return usual
    number, percent = (text[:-1], 100) if text.endswith("%") else (text, 1)
    try:
        return float(number) / percent
    except ValueError:
        raise UsageError(f"{text!r} is no ratio", where=where, hint="such as 1% or 0.01") from None
