"""Settings that the explaining models share, and where the sizes and rates of all three are from.

Sizes and rates are those of the papers as their released code has them (github.com/lileipisces: Att2Seq and NRT are the
re-implementations by the authors of PETER and POD). In brackets: what we do otherwise.

| setting               | Att2Seq (Dong et al. 2017) | NRT (Li et al. 2017)      | PETER (Li et al. 2021)        |
|-----------------------|----------------------------|---------------------------|-------------------------------|
| user and item vectors | 64                         | 300                       | 512                           |
| word vectors          | 512                        | 300                       | 512                           |
| decoder               | LSTM, 512, 2 layers        | GRU, 400, 1 layer         | 2 layers, 2 heads, inner 2048 |
| rating network        | none                       | 400, 4 layers and a first | 512, 1 layer                  |
| dropout               | 0.2 between layers         | none                      | 0.2                           |
| initial weights       | U(-0.08, 0.08)             | U(-0.1, 0.1)              | U(-0.1, 0.1), Xavier inside   |
| optimiser, rate       | Adam, 1e-4; paper: RMSprop | Adam, 1e-4; paper:        | SGD, 1, a quarter of it after |
|                       | 2e-3                       | Adadelta, L2 of 1e-4      | each failure [Adam, 1e-4]     |
| largest gradient norm | 5                          | none                      | 1                             |
| batch                 | 50                         | 200                       | 128                           |
| loss weights          | text 1                     | text 1, rating 1          | text 1, context 1, rating 0.1 |
| vocabulary            | 20,000                     | 20,000                    | 20,000                        |
| words                 | 15 [20]                    | 15 [20]                   | 15 [20]                       |
| epochs, failures      | 100, 5 [see below]         | 100, 5                    | 100, 5                        |
| decoding              | greedy                     | greedy; paper: beams      | greedy                        |

Failures to lower the validation loss are counted from the last success on; the released code never resets the counter.
That loss is the text's; the released code adds the rating's, which on few ratings rises from the first epoch on.
NRT's loss over the words of whole reviews and Att2Seq's attention are left out, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

from baselines._explaining.vocabulary import SPECIAL

_LIKELY_EPOCHS = 25
# A head of so many words is what `--dry-run` reckons with: between Musical Instruments' 4,000 and the limit.
_HEAD = 8000


@dataclass(frozen=True)
class ExplainingSettings:
    """What the explaining models share.

    vocabulary:    entries kept, the most frequent first, the four special ones among them.
    words:         words and marks of a training sentence that are learnt, and at most so many are generated.
    batch_size:    sentences a step.
    epochs, patience: at most so many epochs; end after so many without a lower validation loss of the text.
    learning_rate: of Adam. clip: largest norm of the gradients; 0: as they are.
    """

    vocabulary: int = 20_000
    words: int = 20
    batch_size: int = 128
    epochs: int = 100
    patience: int = 5
    learning_rate: float = 1e-4
    clip: float = 0.0

    network = ""

    def __post_init__(self) -> None:
        if self.vocabulary <= len(SPECIAL):
            raise ValueError(f"vocabulary must be above {len(SPECIAL)}, the special entries that it holds anyway")
        at_least_one(self, "words", "batch_size", "epochs", "patience")
        if self.learning_rate <= 0 or self.clip < 0:
            raise ValueError("learning_rate must be above 0 and clip not below")
        if not 0 <= getattr(self, "dropout", 0.0) < 1:
            raise ValueError("dropout must lie in 0..1")

    @property
    def body(self) -> int:
        """Weights that a word passes on its way to the head. width: of the head."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Width of the states that the head reads."""
        raise NotImplementedError

    @property
    def expected_epochs(self) -> float:
        """For `--dry-run`, in epochs of the default sizes, whose cost the model's info names."""
        usual = type(self)()
        share = (self.body + self.width * _HEAD) / (usual.body + usual.width * _HEAD)
        return min(self.epochs, _LIKELY_EPOCHS) * share


def at_least_one(settings: object, *names: str) -> None:
    """Raise ValueError where one of these settings is below 1."""
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be at least 1")
