"""The two protocols, and what part of a run's identity they decide."""

from __future__ import annotations

import pytest

from bench.protocols import PROTOCOLS, with_numbering


def test_the_two_differ_as_published_md_says():
    published, sound = PROTOCOLS["published"], PROTOCOLS["sound"]
    assert (published.item_numbering, published.keep_history, published.per_occurrence) == ("appearance", True, True)
    assert (sound.item_numbering, sound.keep_history, sound.per_occurrence) == ("train", False, False)
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert (published.text_metrics, sound.text_metrics) == ("published", "standard")


def test_a_subset_is_what_touches_a_model():
    protocol = PROTOCOLS["published"]
    assert protocol.subset(()) == {} == PROTOCOLS["sound"].subset(())
    assert protocol.subset(("item_numbering",)) == {"item_numbering": "appearance"}
    with pytest.raises(KeyError):
        protocol.subset(("colour",))


def test_another_numbering_shows_in_the_name():
    sound = PROTOCOLS["sound"]
    assert with_numbering(sound, None) is sound and with_numbering(sound, "train") is sound
    other = with_numbering(sound, "random")
    assert other.name == "sound+random-ids" and other.item_numbering == "random" and not other.keep_history
