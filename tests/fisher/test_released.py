"""The released scheme of elastic weight removal, transcribed, and draws of labels."""

import torch
from test_estimate import NETWORKS, batch
from torch import Tensor, nn
from torch.nn import functional

from polyray.fisher import BatchSquares
from polyray.objectives.sampling import draw, released_loss

TIED = "t5, tied"


def transcribed(model: nn.Module, batches: list[dict[str, Tensor]], uniforms: list[Tensor]) -> dict[str, Tensor]:
    """The loop of the authors' code (`fim_loop` in trainer_fim.py), with the draws in `uniforms` [B, T, 1] a batch."""
    precision = {n: torch.zeros_like(p.data) for n, p in model.named_parameters()}
    for step, inputs in enumerate(batches):
        model.zero_grad()
        output = model(**inputs).logits
        log_probs = functional.log_softmax(output, dim=-1)
        cumsums = torch.logcumsumexp(log_probs, dim=-1).exp()
        outdx = torch.searchsorted(cumsums, uniforms[step]).squeeze(-1)
        functional.nll_loss(log_probs.view(-1, log_probs.size(-1)), outdx.view(-1)).backward()
        for n, p in model.named_parameters():
            if p.requires_grad and p.grad is not None:
                precision[n].data += p.grad.data**2 / output.shape[0]
    return {n: p / len(batches) for n, p in precision.items()}


def test_squares_of_batches_have_the_bits_of_the_authors_code() -> None:
    torch.manual_seed(0)
    model = NETWORKS[TIED]().eval()
    ids, mask, labels = batch()
    whole = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": labels.clamp_min(0)}
    batches = [{name: tensor[rows] for name, tensor in whole.items()} for rows in (slice(0, 3), slice(3, 5))]
    seeds = [[0, 1, 2], [3, 4]]
    rows = [[torch.rand(7, generator=torch.Generator().manual_seed(seed)) for seed in each] for each in seeds]
    expected = transcribed(model, batches, [torch.stack(each).unsqueeze(-1) for each in rows])
    model.zero_grad(set_to_none=True)
    squares = BatchSquares(model)
    for inputs, of_batch in zip(batches, seeds, strict=True):
        generators = [torch.Generator().manual_seed(seed) for seed in of_batch]

        def loss(inputs: dict[str, Tensor] = inputs, generators: list[torch.Generator] = generators) -> Tensor:
            return released_loss(model(**inputs).logits, generators)

        squares.add(loss, len(of_batch))
    assert squares.n_squares == 2 and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(total / 2, expected[name]) for name, total in squares.sums.items())
    assert squares.sums.keys() == expected.keys()


def test_draws_have_the_probabilities_of_the_softmax_and_never_leave_the_range() -> None:
    logits = torch.tensor([1.0, -float("inf"), 0.0, 2.0])
    uniforms = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    counts = draw(logits.expand(len(uniforms), 4), uniforms).bincount(minlength=4) / len(uniforms)
    torch.testing.assert_close(counts, logits.softmax(0), rtol=0, atol=0.01)
    below_one = torch.full((1, 30_000), 0.1)  # whose cumulative sum may end before the number drawn
    assert int(draw(below_one, torch.tensor([1.0]))) == 29_999
