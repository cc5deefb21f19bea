#!/bin/sh
# A Slurm of one node on this machine, from Debian's packages, until `sh benchmarks/slurm_one_node.sh stop`: for `benchmarks/drill.py --only slurm`.
# As root: apt-get install -y slurm-wlm munge
set -eu
there=/tmp/slurm-one-node
if [ "${1:-}" = stop ]; then
    for name in slurmd slurmctld; do kill "$(cat $there/$name.pid)" 2>/dev/null || true; done
    exit 0
fi
mkdir -p $there/state $there/spool /run/munge /etc/slurm
chown munge: /run/munge
pgrep -x munged >/dev/null || runuser -u munge -- /usr/sbin/munged
host=$(hostname -s)
cat >/etc/slurm/slurm.conf <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmctldPidFile=$there/slurmctld.pid
SlurmdPidFile=$there/slurmd.pid
SlurmctldLogFile=$there/slurmctld.log
SlurmdLogFile=$there/slurmd.log
StateSaveLocation=$there/state
SlurmdSpoolDir=$there/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
slurmctld -c
slurmd
for _ in 1 2 3 4 5 6 7 8 9 10; do
    sinfo -h -o %T | grep -q idle && break
    sleep 1
done
sinfo
