"""One line on each figure of a page that its name does not explain."""

from collections.abc import Iterable, Mapping

MEANINGS: Mapping[str, str] = {
    "discreteness": "1: every task uses or leaves every skill for certain; 0: all is undecided. 1 - entropy",
    "entropy": "0: the allocation is certain; 1: every probability is one half. Mean of H(z) / log 2 over its cells",
    "density": "share of tasks and skills where the task uses the skill, with a probability above one half",
    "usage": "1: all skills are used equally often; 0: one skill does everything. Entropy of their shares over log S",
    "ami": "adjusted mutual information of learned and planted groups of tasks; 1: the same groups, 0: as by chance",
    "assignment accuracy": "share of cells equal to the planted allocation when skills are matched in the best way",
    "frames": "steps of an environment that training has seen, over all levels",
    "episodes": "episodes that ended, over all levels",
    "frames per second": "over the iterations of this run, without evaluation",
    "parameters, backbone": "numbers of the network under the skills",
    "parameters, skills": "numbers of all skills together",
    "parameters, routing": "numbers of the table of levels and skills",
    "rollouts that did not come back": "of processes that died; the iteration went on without them",
    "seconds, over all starts": "from start to end, with every resume; not the time in between",
    "started": "the first start, by the clock of the machine that ran it",
    "started again": "the last start of a run that was interrupted",
    "command": "as it was typed for the last start",
}


def meanings_of(names: Iterable[str]) -> dict[str, str]:
    """The lines on those of `names` that have one."""
    return {name: MEANINGS[name] for name in names if name in MEANINGS}
