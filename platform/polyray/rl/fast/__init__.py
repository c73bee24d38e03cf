"""The agents' network with less work: drop-ins for `polyray.rl.network`, which is the one to read.

`RowwiseNetwork` equals `PolicyNetwork` called inside `mixing`, in outputs and gradients (tests/rl/test_network.py), and
`ActingPolicy` is its form for rollouts. Both save work that the plain network repeats: tiles are of 264 kinds, missions
of few, and all environments of one task share their weights. In benchmarks/babyai_train.py a loop of PPO with
`RowwiseNetwork` makes 25 times as many frames a second (the small network on GoToLocal, 256 environments, minibatches
of 2,560 frames, one core).
"""
