"""Searching and scoring items: against teacher forcing of every id, and a beam search written out for one user."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from networks import network, sources  # noqa: E402

from bench.ragged import Ragged  # noqa: E402
from pod.beam import Search  # noqa: E402
from pod.constrained import score_candidates, search_items  # noqa: E402
from pod.decoder import Decoder  # noqa: E402
from pod.trie import Trie  # noqa: E402

EOS, USERS = 1, 6
# Prefixes of each other, long and short, one and several pieces.
PIECES = [
    (5,),
    (5, 8),
    (5, 8, 9),
    (6, 7),
    (6, 8),
    (9,),
    (5, 9, 9, 7),
    (8, 8),
    (3,),
    (3, 3),
    (7, 5, 6),
    (7, 5),
    (6, 9, 2),
]
SINGLE = [(token,) for token in range(20, 60)]


class World:
    """A network, encoded users, a catalogue, and the score of every item by teacher forcing."""

    def __init__(self, ids, eos: bool, seed: int = 1, flan: bool = False):
        self.ids = [(*row, EOS) for row in ids] if eos else list(ids)
        self.trie = Trie.build(Ragged.from_rows(self.ids), EOS)
        self.model = network(seed, flan=flan)
        self.encoded, self.mask = sources(seed + 1, USERS, 7)
        self.decoder = Decoder(self.model)
        self.memory = self.decoder.remember(self.encoded, self.mask)
        self.rows = sorted({token for row in self.ids for token in row})
        self.exact = torch.stack([self.forced(row) for row in self.ids], 1)

    def forced(self, row) -> torch.Tensor:
        """(USERS,) the score of one id."""
        given = torch.tensor([0, *row[:-1]]).expand(USERS, -1)
        with torch.no_grad():
            logits = self.model(
                encoder_outputs=(self.encoded,), attention_mask=self.mask.long(), decoder_input_ids=given
            ).logits
        log_probs = torch.log_softmax(logits[..., self.rows].double(), -1)
        places = torch.tensor([self.rows.index(token) for token in row])
        summed = log_probs.gather(2, places.expand(USERS, -1)[..., None]).sum((1, 2))
        return summed / (1 + len(row) - (row[-1] == EOS))

    def ranked(self, user: int, items) -> list[int]:
        return sorted(items, key=lambda item: -self.exact[user, item].item())


WORLDS = {"pieces": (PIECES, True), "single, EOS": (SINGLE, True), "single": (SINGLE, False)}


@pytest.fixture(params=WORLDS, scope="module")
def world(request) -> World:
    return World(*WORLDS[request.param])


def check(world, found, expected):
    """Lists equal `expected`, one a user, then -1; scores are those of teacher forcing."""
    for user, items in enumerate(expected):
        listed = found.items[user].tolist()
        assert listed[: len(items)] == items[: len(listed)]
        assert listed[len(items) :] == [-1] * (len(listed) - len(items))
        scores = [world.exact[user, item].item() for item in items[: len(listed)]]
        assert found.scores[user, : len(scores)].tolist() == pytest.approx(scores, abs=1e-5)
        assert (found.scores[user, len(scores) :] == -torch.inf).all()


@pytest.mark.parametrize("returned", [1, 5, 40])
def test_as_many_beams_as_items_rank_like_scoring_each(world, returned):
    found = search_items(world.decoder, world.memory, Search(60, returned), world.trie)
    check(world, found, [world.ranked(user, range(len(world.ids))) for user in range(USERS)])


@pytest.mark.parametrize("beams", [3, 40])
def test_only_candidates_come_and_all_of_them(world, beams):
    draw = np.random.default_rng(5)
    chosen = [draw.choice(len(world.ids), size, replace=False).tolist() for size in (3, 1, 3, 2, 0, 3)]
    table = torch.tensor([row + [-1] * (3 - len(row)) for row in chosen])
    # No more candidates than beams: nothing can be lost.
    found = search_items(world.decoder, world.memory, Search(beams, 3), world.trie, world.trie.only(table))
    check(world, found, [world.ranked(user, items) for user, items in enumerate(chosen)])


def test_forbidden_items_take_no_place(world):
    # The best of every user is forbidden, one of them twice, as in a history.
    best = [world.ranked(user, range(len(world.ids)))[:4] for user in range(USERS)]
    table = torch.tensor([[*row, row[0], -1] for row in best])
    found = search_items(world.decoder, world.memory, Search(60, 9), world.trie, world.trie.without(table))
    rest = [[item for item in range(len(world.ids)) if item not in best[user]] for user in range(USERS)]
    check(world, found, [world.ranked(user, items) for user, items in enumerate(rest)])
    every = torch.arange(len(world.ids)).expand(USERS, -1)
    none = search_items(world.decoder, world.memory, Search(7, 2), world.trie, world.trie.without(every))
    check(world, none, [[]] * USERS)


def test_candidates_are_scored_as_by_teacher_forcing(world):
    draw = np.random.default_rng(7)
    table = torch.from_numpy(draw.integers(-1, len(world.ids), (USERS, 11)))
    table[2] = -1
    table[:, 5] = table[:, 6]  # named twice
    scores = score_candidates(world.decoder, world.memory, world.trie, table)
    expected = world.exact.gather(1, table.clamp(min=0)).masked_fill(table < 0, -torch.inf)
    torch.testing.assert_close(scores, expected.float(), atol=1e-5, rtol=0)
    assert (score_candidates(world.decoder, world.memory, world.trie, table[:, :0]).shape) == (USERS, 0)


def narrow(world: World, user: int, beams: int) -> list[int]:
    """One user's items by a plain beam search over prefixes, in lists and without giving up any beam."""
    finished, beam = {}, [((), 0.0)]
    wanted = {row[: -1 if row[-1] == EOS else None] for row in world.ids}
    while beam:
        following = []
        for prefix, total in beam:
            with torch.no_grad():
                logits = world.model(
                    encoder_outputs=(world.encoded[user : user + 1],),
                    attention_mask=world.mask[user : user + 1].long(),
                    decoder_input_ids=torch.tensor([[0, *prefix]]),
                ).logits[0, -1]
            log_probs = torch.log_softmax(logits[world.rows].double(), -1).tolist()
            by_token = dict(zip(world.rows, log_probs, strict=True))
            if prefix in wanted and EOS in by_token:
                finished[prefix] = (total + by_token[EOS]) / (len(prefix) + 1)
            for token in sorted({row[len(prefix)] for row in wanted if row[: len(prefix)] == prefix != row}):
                following.append(((*prefix, token), total + by_token[token]))
        if EOS not in world.rows:
            finished |= {row: total / (len(row) + 1) for row, total in following if row in wanted}
            following = [each for each in following if each[0] not in wanted]
        beam = sorted(following, key=lambda each: -each[1])[:beams]
    bare = [row[: -1 if row[-1] == EOS else None] for row in world.ids]
    return [bare.index(row) for row in sorted(finished, key=lambda row: -finished[row])]


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_a_narrow_beam_is_as_good_as_the_plain_one(world, beams):
    """Same lists while no prefix is given up; what giving up hopeless ones makes room for is better here."""
    found = search_items(world.decoder, world.memory, Search(beams, beams), world.trie)
    same = 0
    for user in range(USERS):
        plain = narrow(world, user, beams)[:beams]
        listed = [item for item in found.items[user].tolist() if item >= 0]
        same += listed == plain
        ours, theirs = ([world.exact[user, item].item() for item in items] for items in (listed, plain))
        assert len(ours) >= len(theirs)
        assert all(a >= b - 1e-5 for a, b in zip(ours, theirs, strict=False))
    assert same >= USERS - 1


def test_a_user_is_alone_in_the_batch(world):
    together = search_items(world.decoder, world.memory, Search(4, 4), world.trie)
    table = torch.arange(8).expand(USERS, -1)
    scores = score_candidates(world.decoder, world.memory, world.trie, table)
    for user in range(USERS):
        memory = world.memory.take(torch.tensor([user]))
        alone = search_items(world.decoder, memory, Search(4, 4), world.trie)
        assert torch.equal(alone.items[0], together.items[user])
        torch.testing.assert_close(alone.scores[0], together.scores[user], atol=1e-5, rtol=0)
        own = score_candidates(world.decoder, memory, world.trie, table[:1])
        torch.testing.assert_close(own[0], scores[user], atol=1e-5, rtol=0)
    empty = world.memory.take(torch.empty(0, dtype=torch.int64))
    assert search_items(world.decoder, empty, Search(4, 4), world.trie).items.shape == (0, 4)


def test_a_head_of_its_own_and_gates():
    world = World(PIECES, True, seed=11, flan=True)
    found = search_items(world.decoder, world.memory, Search(13, 13), world.trie)
    check(world, found, [world.ranked(user, range(13)) for user in range(USERS)])
