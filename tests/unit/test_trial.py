"""What becomes of a recommendation when trial builds have spoken."""

from __future__ import annotations

import threading

from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.target import Verdict
from gpu_bringup.recommend import proving_order, recommend
from gpu_bringup.trial import Judgement, _chosen, _in_order

ANSWERS = Answers(
    gpus=("H100",),
    os="debian:13",
    kernel="6.12.107+deb13-amd64",
    source=SourceKind.DISTRIBUTION,
)


def test_the_proven_candidate_is_chosen_and_each_other_stands_once() -> None:
    catalogue = load()
    recommendation = recommend(None, ANSWERS, catalogue)
    failed, proven, *_ = proving_order(None, ANSWERS, catalogue)
    assert failed.target.driver.flavour.value == "open"
    judgement = Judgement("proven", "compiled", sizes=(("module", 1, 2),))
    result = _chosen(recommendation, proven, judgement, [(failed, "it does not compile")], ["one"])
    assert result.chosen is not None
    assert result.chosen.target == proven.target
    assert result.chosen.reasons[-1].rule == "trial-build"
    assert result.chosen.reasons[-1].verdict is Verdict.OK
    assert result.alternatives[0] == (failed, "it does not compile")
    others = [item.target.package.id for item, _ in result.alternatives]
    assert len(others) == len(set(others))
    assert proven.target.package.id not in others
    assert (result.sizes, result.trials) == (judgement.sizes, ("one",))


class Offline:
    """A prover of a host whose repositories answer nobody."""

    cancelled = threading.Event()

    def judge(self, assessment):
        text = "the repositories can't be read: no route to host"
        return Judgement("undecided", text, shared=True)


def test_one_cause_that_keeps_all_from_being_tried_is_said_once() -> None:
    catalogue = load()
    recommendation = recommend(None, ANSWERS, catalogue)
    order = proving_order(None, ANSWERS, catalogue)
    assert len(order) > 1
    told = []
    result = _in_order(Offline(), recommendation, order, told.append)
    assert len(told) == 1
    assert [item for item, _ in result.alternatives] == [order[0]]
    assert "no route to host" in result.refusal[0].detail
    assert result.refusal[0].verdict is Verdict.UNKNOWN
