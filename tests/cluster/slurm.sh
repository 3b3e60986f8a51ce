#!/bin/bash
# A Slurm cluster of one node on loopback: munge, slurmctld and slurmd, no cgroups, no accounting.
#
#   tests/cluster/slurm.sh start DIR    writes DIR/slurm.conf; clients need SLURM_CONF=DIR/slurm.conf
#   tests/cluster/slurm.sh stop DIR     ends the daemons that it started, and no others
#
# Everything lies in DIR but a link to DIR/slurm.conf where Slurm looks for it: Snakemake's plugin
# takes SLURM_CONF out of a job's environment. A machine that has a Slurm is left alone. To be run
# as root: slurmd starts jobs as the user who submitted them.
set -euo pipefail
dir=$(realpath "$2")
CPUS=${CPUS:-2}
usual=/etc/slurm/slurm.conf

start() {
    if [[ -e $usual ]]; then
        echo "$usual exists: this machine has a Slurm, and is left alone" >&2
        return 1
    fi
    mkdir -p "$dir"/{munge,state,spool,log}
    chmod 700 "$dir/munge"
    (umask 077; head -c 128 /dev/urandom > "$dir/munge/key")
    # munged refuses folders that others could write to, as a test's temporary folder is.
    munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
        --pid-file="$dir/munge/pid" --log-file="$dir/log/munged" --seed-file="$dir/munge/seed"
    chmod 755 "$dir/munge"
    cat > "$dir/slurm.conf" <<CONF
ClusterName=oneself
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=${PORT:-17817}
SlurmdPort=$((${PORT:-17817} + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld
SlurmdLogFile=$dir/log/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=5
MinJobAge=3600
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=${MEMORY_MB:-100000}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    mkdir -p "$(dirname "$usual")"
    ln -sf "$dir/slurm.conf" "$usual"
    export SLURM_CONF=$dir/slurm.conf
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 60); do
        [[ $(sinfo --noheader --format=%T 2>&1) == idle ]] && return
        sleep 1
    done
    echo "the node did not come up; $dir/log says why" >&2
    tail -n 5 "$dir"/log/* >&2
    return 1
}

stop() {
    [[ $(readlink "$usual") == "$dir/slurm.conf" ]] && rm "$usual"
    for file in "$dir"/slurmd.pid "$dir"/slurmctld.pid "$dir"/munge/pid; do
        [[ -s $file ]] && kill "$(< "$file")" 2> /dev/null || true
    done
}

"$1"
