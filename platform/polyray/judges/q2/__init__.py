"""Q2: questions about a response, answered from its knowledge.

Honovich et al. 2021 (arXiv:2104.08202), as in their code, github.com/orhonovich/q-squared.
"""
