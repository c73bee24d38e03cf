"""The agents' network with less work: drop-ins for `polyray.rl.network`, which is the one to read.

`RowwiseNetwork` equals `PolicyNetwork` called inside `mixing`, in outputs and gradients (tests/rl/test_fast.py), and
`ActingPolicy` is its form for rollouts. Both save work that the plain network repeats: tiles are of 264 kinds, missions
of few, and all environments of one task share their weights.
"""
