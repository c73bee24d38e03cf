"""Critics from a folder of transformers and from a skill."""

from pathlib import Path

import numpy as np
import pytest
import torch
from crash_scenarios import a_plain_report
from judge_cases import save_classifier
from rich.console import Console
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs.table import JOBS
from polyray.judges.critic import CriticOptions, load_critic, unfaithfulness
from polyray.runs.folder import RunFolder
from polyray.skills.skill import load_card
from polyray.training.prediction import predict

PAIRS = [
    ("the hotel has free wifi", "yes it does"), ("no pool", "the hotel has a pool in its lobby"), ("parking", ""),
    ("the room is free", "the room is not free"),
]  # fmt: skip


def test_a_folder_in_batches_gives_the_probabilities_of_single_pairs(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path, {0: "faithful", 1: "hallucination", 2: "generic"})
    critic = load_critic(CriticOptions(model=str(folder), unfaithful=("hallucination", "generic"), batch=3))
    network, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    with torch.no_grad():
        single = [network(**tokenizer(*pair, return_tensors="pt")).logits[0].softmax(-1).tolist() for pair in PAIRS]
    assert critic.probabilities(PAIRS).tolist() == [pytest.approx(row, abs=1e-5) for row in single]
    calls, probabilities = unfaithfulness(critic, PAIRS, ("hallucination", "generic"))
    assert probabilities == pytest.approx([row[1] + row[2] for row in single], abs=1e-5)
    assert calls.tolist() == [float(np.argmax(row) in (1, 2)) for row in single]


def test_labels_that_are_missing_or_unknown_are_refused_with_those_that_there_are(tmp_path: Path) -> None:
    folder = str(save_classifier(tmp_path, {0: "faithful", 1: "unfaithful"}))
    with pytest.raises(InputError, match="say which labels mean .* faithful, unfaithful"):
        load_critic(CriticOptions(model=folder))
    with pytest.raises(InputError, match="Did you mean 'unfaithful'"):
        load_critic(CriticOptions(model=folder, unfaithful=("unfaithfull",)))
    with pytest.raises(InputError, match="nowhere"):
        load_critic(CriticOptions(model=str(tmp_path / "nowhere"), unfaithful=("x",)))


@pytest.mark.processes  # it trains
def test_a_skill_trained_on_pairs_is_a_critic_with_its_own_labels(tmp_path: Path) -> None:
    data = tmp_path / "data" / "critic"
    data.mkdir(parents=True)
    rows = [f"{knowledge}\t{response or '.'}\t{label}\n" for label in ("yes", "no") for knowledge, response in PAIRS]
    for split in ("train", "dev", "test"):
        (data / f"{split}.tsv").write_text("knowledge\tresponse\tlabel\n" + "".join(rows))
    overrides = [
        "suite=classification", f"tasks.path={data.parent}", "tasks.texts=[knowledge,response]", "method.kind=full",
        "tasks.train_splits=[train]", "training.steps=2", "training.batch=4", "name=critic",
    ]  # fmt: skip
    config = load_config(JOBS["ltsft"].Config, overrides=overrides)
    folder = RunFolder(path=tmp_path / "run", job="ltsft", config=config, address=None)
    with a_plain_report():
        run_in(folder, JOBS["ltsft"], Console(quiet=True), cluster=OwnProcess())
    skill = tmp_path / "run" / "skills" / "critic"
    critic = load_critic(CriticOptions(model=str(skill), unfaithful=("no",), batch=2))
    probabilities = critic.probabilities(PAIRS)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(PAIRS)))
    shown = [{"knowledge": knowledge, "response": response or "."} for knowledge, response in PAIRS]
    labels = [critic.labels[number] for number in probabilities.argmax(axis=1)]
    assert labels[:2] + labels[3:] == predict(skill, "critic", shown[:2] + shown[3:])
    assert critic.record["fingerprint"] == load_card(skill).fingerprint and critic.record["cut"] == 0
    with pytest.raises(InputError, match="label of .* Known: no, yes"):
        load_critic(CriticOptions(model=str(skill), unfaithful=("maybe",)))
