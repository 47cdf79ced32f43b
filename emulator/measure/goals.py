"""Search goals: what counts as throughput, by name."""

from __future__ import annotations

from dataclasses import dataclass

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
- ``quick``: our own, for a laptop: 5 to 10 s on a path that is steady, 33 s at most by default.

RFC 9971 leaves the length of the first trials to the implementation. They decide only where the
search looks, and for ``rfc2544`` and ``tst009`` we take the 1 s of CSIT.
"""


def goal_named(name: str) -> SearchGoal:
    """The goal of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return GOALS[name]
    except KeyError:
        raise UsageError(
            f"there is no goal {name!r}", hint=f"the goals are {', '.join(GOALS)}"
        ) from None
