"""Test sentences that stand in the texts from which languages are learned."""

from polyray.tasks import RawTextOptions, Suite
from polyray.tasks.text import text
from polyray.training.transfer.recipe import TransferRecipe


def leaks(recipe: TransferRecipe, suite: Suite) -> str:
    """A sentence on targets of which test sentences stand in their language's text; empty: there are none.

    Sentences are compared by their words, whatever the blanks between them.
    """
    if not recipe.languages.path:
        return ""
    texts = text(RawTextOptions(path=recipe.languages.path))
    counts = []
    for target, language in recipe.targets.items():
        if language not in texts.tasks:
            continue
        lines = {" ".join(x.text.split()) for split in ("train", "dev") for x in texts.tasks[language].examples(split)}
        tests = [" ".join(x.line.partition("\t")[0].split()) for x in suite.tasks[target].examples("test")]
        n_repeated = sum(sentence in lines for sentence in tests)
        if n_repeated:
            counts.append(f"{n_repeated} of {len(tests)} test sentences of {target!r}")
    return f"{', '.join(counts)} stand in the text of their language too: scores flatter." if counts else ""
