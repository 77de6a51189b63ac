"""RecBole as a library: it numbers our data faithfully and touches nothing that is not its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import dataset_of, rings, training_of

from bench.models import Training, discover
from bench.ragged import Ragged
from bench.splits import make_split

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("recbole", reason="RecBole is not installed")

from baselines._recbole.bridge import build  # noqa: E402

NEURAL = ("caser", "hgn", "gru4rec", "bert4rec", "fdsa", "sasrec", "sasrec-pairwise", "s3rec", "mf", "mlp")


def built(name: str, training: Training) -> Any:
    settings = discover().get(name).settings(hidden_size=8)
    return build(training, settings.network, settings.recbole(), "cpu")


def test_every_user_item_and_attribute_has_a_number_of_its_own():
    rng = np.random.default_rng(0)
    # Users without training items, items nobody touched, and attribute sets of nought to three.
    rows = [rng.permutation(60)[: 3 + n % 9] for n in range(30)] + [[], [61]]
    attributes = Ragged.from_rows([rng.permutation(9)[: i % 4] + 1 for i in range(64)])
    training = training_of(make_split(dataset_of(rows, 64, attributes)))
    _, encoding = built("fdsa", training)
    dataset = encoding.dataset
    assert sorted(encoding.users.tolist()) == list(range(1, 33)) and sorted(encoding.items.tolist()) == list(
        range(1, 65)
    )
    assert dataset.user_num == 33 and dataset.item_num == 65
    assert [dataset.id2token("item_id", int(n)) for n in encoding.items] == [str(i) for i in range(64)]
    assert [dataset.id2token("user_id", int(n)) for n in encoding.users] == [str(u) for u in range(32)]
    values = dataset.get_item_feature()["class"]
    for item in range(64):
        found = [n for n in values[encoding.items[item]].tolist() if n]
        assert sorted(int(dataset.id2token("class", n)) for n in found) == sorted(attributes[item].tolist())
    inter = dataset.inter_feat
    pairs = sorted(zip(inter["user_id"].tolist(), inter["item_id"].tolist(), strict=True))
    users, items = encoding.users[training.sequences.row_of], encoding.items[training.sequences.values]
    assert pairs == sorted(zip(users.tolist(), items.tolist(), strict=True))


def test_a_catalogue_without_attributes_will_do():
    training = training_of(make_split(dataset_of([[0, 1, 2, 3], [3, 2, 1, 0]], 5)))
    network, encoding = built("sasrec", training)
    assert network.n_items == 6 and len(encoding.items) == 5


@pytest.mark.parametrize("name", NEURAL)
def test_settings_arrive(name):
    settings = discover().get(name).settings(hidden_size=24)
    network, encoding = build(training_of(rings(n_users=30)), settings.network, settings.recbole(), "cpu")
    for key, value in settings.recbole().items():
        assert encoding.config[key] == value, key
    assert network.item_embedding.weight.shape[1] == 24
    if hasattr(settings, "max_length"):
        assert network.max_seq_length == settings.max_length
    if hasattr(settings, "state_size"):
        assert network.gru_layers.hidden_size == settings.state_size
    rates = {part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)}
    assert rates in (set(), {settings.dropout} if hasattr(settings, "dropout") else set())


# In a process of its own: what importing RecBole for the first time would do counts as well.
QUIET = """
import random, sys, warnings
warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
from worlds import rings, training_of
from bench.models import discover
training = training_of(rings(n_users=30))
random.seed(5), np.random.seed(5), torch.manual_seed(5)
before = random.getstate(), [np.copy(part) for part in np.random.get_state()[1:3]]
arguments, options = list(sys.argv), np.get_printoptions()
benchmark, deterministic = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
from baselines._recbole.bridge import build
from engine.randomness import seeded
for name in sys.argv[2:-2]:
    settings = discover().get(name).settings(hidden_size=8)
    with seeded(1, "cpu"):
        build(training, settings.network, settings.recbole(), "cpu")
after = random.getstate(), [np.copy(part) for part in np.random.get_state()[1:3]]
assert not torch.is_anomaly_enabled(), "anomaly detection"
with torch.autograd.detect_anomaly(check_nan=False), seeded(1, "cpu"):
    build(training, settings.network, settings.recbole(), "cpu")
    assert torch.is_anomaly_enabled(), "anomaly detection"
assert before[0] == after[0], "random"
assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1])), "numpy.random"
assert torch.initial_seed() == 5 and torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(5).get_state())
assert sys.argv == arguments and np.get_printoptions() == options, "argv, numpy"
assert (benchmark, deterministic) == (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
for heavy in ("ray", "recbole.quick_start", "plotly"):
    assert heavy not in sys.modules, heavy
"""


def test_building_networks_leaves_the_process_and_the_folder_as_they_were(tmp_path):
    here = Path(__file__).parent
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir(), temporary.mkdir()
    # Words that RecBole's own configuration would read from the command line.
    odd = ["--embedding_size=3", "--epochs=2"]
    command = [sys.executable, "-c", QUIET, str(here), *NEURAL, *odd]
    paths = os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(work.iterdir()) and not list(temporary.iterdir())
