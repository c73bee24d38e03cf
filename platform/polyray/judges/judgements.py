"""Files with the judgements of networks, so that a scoring that goes on asks no network again."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from polyray.files import make_folders
from polyray.judges.judge import Judge, Measured, averaged
from polyray.metrics.responses import Texts
from polyray.runs.notes import sealed_outcome
from polyray.runs.sealed import write_sealed

JUDGEMENTS = "judgements"  # folder in a run


def judge_once(judge: Judge, responses: Sequence[str], texts: Texts, folder: Path) -> Measured:
    """Metrics of these responses by a network: from its file in `folder`, or computed now and written there.

    A file is of these texts, networks and options alone; what is missing or damaged is computed.

    Raises:
        InputError: the judge refuses.
        StorageError: the disk refused.
    """
    asked = [judge.names, [network.fingerprint for network in judge.networks], judge.options, responses, texts]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    file = folder / f"{key[:32]}.json"
    judgement = sealed_outcome(file, "The network is asked again.")
    if judgement is None:
        before = [network.n_cut for network in judge.networks]
        measured = judge.judge(responses, texts)
        cut = [network.n_cut - n for network, n in zip(judge.networks, before, strict=True)]
        make_folders(folder)
        write_sealed(file, {"values": {name: x.values.tolist() for name, x in measured.items()}, "cut": cut})
        return measured
    for network, n in zip(judge.networks, judgement["cut"], strict=True):
        network.n_cut += n
    return averaged(judgement["values"])
