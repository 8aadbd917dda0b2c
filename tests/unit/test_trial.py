"""What becomes of a recommendation when trial builds have spoken."""

from __future__ import annotations

from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.target import Verdict
from gpu_bringup.recommend import proving_order, recommend
from gpu_bringup.trial import Judgement, _chosen

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
