#!/bin/bash
# A Ray cluster on the nodes of one Slurm job, and a sweep on it: docs/clusters/slurm.md. From a clone that all nodes see:
#     sbatch jobs/cluster/slurm.sh
# The same command goes on after a time limit or a crash; a sweep that was warned of its time limit goes back to the queue.
#SBATCH --job-name=polyray
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=polyray-%j.log
set -euo pipefail

COMMAND=(polyray sweep polytropon dual_speed --trials 40 --out runs/speeds sweep.gpus=1)

export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"   # which srun does not take over by itself
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
(umask 077 && python -c "import secrets; print(secrets.token_hex(32))" > "$RAY_AUTH_TOKEN_PATH")

# Ports of this job alone, so that two jobs can share a node.
base=$((20000 + SLURM_JOB_ID % 1000 * 10))
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$head:$base"
node_options=(--temp-dir="/tmp/ray-$SLURM_JOB_ID" --num-cpus="$SLURM_CPUS_PER_TASK" --min-worker-port=0 --max-worker-port=0 --block)

steps=()
finish() {
    kill "${steps[@]}" 2> /dev/null || true
    wait "${steps[@]}" 2> /dev/null || true
    rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap finish EXIT

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap ray start --head --port="$base" --dashboard-host=127.0.0.1 \
    --dashboard-port=$((base+1)) --dashboard-agent-listen-port=$((base+2)) --ray-client-server-port=$((base+3)) \
    --metrics-export-port=$((base+4)) "${node_options[@]}" > "ray-head-$SLURM_JOB_ID.log" 2>&1 &
steps+=($!)
until ray health-check --address "$address" > /dev/null 2>&1; do
    kill -0 "${steps[0]}" || { cat "ray-head-$SLURM_JOB_ID.log"; exit 1; }
    sleep 1
done
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks-per-node=1 --exclude="$head" --overlap ray start \
        --address="$address" --dashboard-agent-listen-port=$((base+5)) "${node_options[@]}" \
        > "ray-workers-$SLURM_JOB_ID.log" 2>&1 &
    steps+=($!)
fi

# Slurm warns this shell, and the sweep saves its trials (exit code 138).
"${COMMAND[@]}" --address "$address" &
sweep=$!
trap 'kill -USR1 "$sweep"' USR1
code=0
wait "$sweep" || code=$?
if kill -0 "$sweep" 2> /dev/null; then   # it was the signal that ended the first wait
    code=0
    wait "$sweep" || code=$?
fi
if ((code == 138)); then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
