"""Biaffine parser on word vectors: scores of heads and of relations."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ParserHead(nn.Module):
    """Two biaffine layers on the means of each word's tokens, with no layer between, and a root beside the words.

    Glavas & Vulic 2021 (arXiv:2008.06788), section 2.2. The root is a dense layer with tanh on the output at the first
    token, as BERT's pooler. Initial weights are small in proportion to the width; theirs are zero, at which the network
    below has no gradient.
    """

    def __init__(self, width: int, n_relations: int, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        self.root = nn.Linear(width, width)
        self.arc = nn.Parameter(torch.empty(width + 1, width))
        self.relation = nn.Parameter(torch.empty(n_relations, width + 1, width + 1))
        self.dropout = dropout
        with torch.no_grad():
            self.root.weight.normal_(0.0, 0.02, generator=generator)
            self.root.bias.zero_()
            for weight in (self.arc, self.relation):
                weight.normal_(0.0, 0.1 / width, generator=generator)

    def forward(self, hidden: Tensor, words: Tensor, n_words: int) -> tuple[Tensor, Tensor]:
        """Vectors of the nodes, and scores of each word's heads.

        Args:
            hidden: [B, T, D], the network's output.
            words: [B, T], the number of each token's word from 1; 0: it is of none.
            n_words: W, of the longest sentence.

        Returns:
            nodes [B, W + 1, D], of the root and the words, and arcs [B, W, W + 1], -inf where there is no such head.
        """
        hidden = hidden.to(self.arc.dtype)  # of a backbone in bf16
        root = torch.tanh(self.root(hidden[:, 0]))  # [B, D]
        hidden = functional.dropout(hidden, self.dropout, self.training)
        member = functional.one_hot(words, n_words + 1).to(hidden.dtype)  # [B, T, W + 1]
        sums = torch.einsum("btw,btd->bwd", member, hidden)
        means = sums / member.sum(1).clamp_min(1).unsqueeze(-1)
        nodes = torch.cat([root.unsqueeze(1), means[:, 1:]], 1)
        arcs = _with_one(nodes[:, 1:]) @ self.arc @ nodes.transpose(1, 2)  # [B, W, W + 1]
        lacking = member.sum(1) == 0
        lacking[:, 0] = False  # the root
        itself = torch.eye(nodes.shape[1], dtype=torch.bool, device=hidden.device)[1:]
        return nodes, arcs.masked_fill(lacking.unsqueeze(1) | itself, float("-inf"))

    def relations(self, nodes: Tensor, heads: Tensor) -> Tensor:
        """Scores of the relations of words to their heads: nodes [B, W + 1, D], heads [B, W] -> [B, W, n_relations]."""
        chosen = nodes.gather(1, heads.unsqueeze(-1).expand(-1, -1, nodes.shape[-1]))
        dependents, chosen = _with_one(nodes[:, 1:]), _with_one(chosen)
        return torch.stack([((dependents @ weight) * chosen).sum(-1) for weight in self.relation], -1)


def _with_one(vectors: Tensor) -> Tensor:
    """Vectors with a one behind their last feature: [..., D] -> [..., D + 1]."""
    return functional.pad(vectors, (0, 1), value=1.0)
