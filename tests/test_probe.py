"""A process proves that it is itself."""

from omnibot.probe import Probe


def test_a_process_knows_its_own_proofs() -> None:
    """The same for the same nonce, and nobody else's."""
    probe = Probe()

    assert probe.proof("one") == probe.proof("one")
    assert probe.proof("one") != probe.proof("two")
    assert probe.proof("one") != Probe().proof("one")


def test_an_answer_is_given_once() -> None:
    """Two for the same nonce differ, behind the proof: what comes twice was kept by somebody."""
    probe = Probe()
    first, second = probe.answer("one"), probe.answer("one")

    assert first != second
    assert [probe.proof("one")] * 2 == [one.partition(".")[0] for one in (first, second)]
