#!/usr/bin/env bash
# A SLURM of one node on this machine, with accounting, for tests/slurm/trial.py:
#     tests/slurm/cluster.sh start|stop [FOLDER]        FOLDER: default /tmp/paper_repro-slurm
# Needs Debian's packages and root: apt-get install slurmctld slurmd slurmdbd slurm-client munge mariadb-server
# Everything lies in FOLDER but /etc/slurm/slurm.conf, a link that ends with the cluster: Snakemake's executor hands
# SLURM_CONF not on to its job steps. A machine that has such a file already has a SLURM, and is refused.
# No cgroups: memory and cores are counted when jobs are placed, not enforced while they run.
set -euo pipefail

FOLDER=$(realpath -m "${2:-/tmp/paper_repro-slurm}")
HOST=$(hostname -s)
DATABASE_PORT=17306
LINK=/etc/slurm/slurm.conf
export SLURM_CONF="$FOLDER/slurm.conf"

fail() {
    echo "error: $1" >&2
    exit 1
}

# wait_for WHAT COMMAND...: until the command succeeds, at most 60 s.
wait_for() {
    local what=$1
    shift
    for _ in $(seq 120); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.5
    done
    fail "$what does not answer after 60 s: see the logs in $FOLDER"
}

configure() {
    local memory  # MB
    memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    mkdir -p "$FOLDER"/{state,spool,database,run}
    # munged and slurmdbd refuse keys and passwords that others could read.
    chmod 755 "$FOLDER"
    chmod 700 "$FOLDER/run"
    (umask 077 && head -c 128 /dev/urandom >"$FOLDER/run/munge.key")
    cat >"$SLURM_CONF" <<END
ClusterName=trial
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
CredType=cred/munge
StateSaveLocation=$FOLDER/state
SlurmdSpoolDir=$FOLDER/spool
SlurmctldPidFile=$FOLDER/run/slurmctld.pid
SlurmdPidFile=$FOLDER/run/slurmd.pid
SlurmctldLogFile=$FOLDER/slurmctld.log
SlurmdLogFile=$FOLDER/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
# A job stays at its limit of whole minutes for KillWait seconds between SIGTERM and SIGKILL.
KillWait=30
OverTimeLimit=0
MinJobAge=300
ReturnToService=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass=$FOLDER/munge.socket
AccountingStorageTRES=gres/gpu
GresTypes=gpu
MpiDefault=none
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:1
PartitionName=trial Nodes=$HOST Default=YES MaxTime=1-00:00:00 State=UP
END
    # Not a GPU, but asked for, granted and shown to the job like one.
    echo "Name=gpu File=/dev/null" >"$FOLDER/gres.conf"
    cat >"$FOLDER/slurmdbd.conf" <<END
AuthType=auth/munge
AuthInfo=socket=$FOLDER/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
PidFile=$FOLDER/run/slurmdbd.pid
LogFile=$FOLDER/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DATABASE_PORT
StorageUser=slurm
StoragePass=trial
StorageLoc=slurm
END
    chmod 600 "$FOLDER/slurmdbd.conf"
}

start() {
    for program in munged mariadbd mariadb-install-db mariadb slurmctld slurmd slurmdbd sbatch sacctmgr; do
        command -v "$program" >/dev/null || fail "$program is not installed: see the head of $0"
    done
    [ "$(id -u)" = 0 ] || fail "root is needed, for slurmd to start jobs"
    [ ! -e "$SLURM_CONF" ] || fail "$FOLDER exists: stop that cluster first ($0 stop $FOLDER)"
    [ ! -e "$LINK" ] || fail "$LINK exists: this machine has a SLURM of its own"
    configure
    ln -sfn "$SLURM_CONF" "$LINK"
    munged --force --key-file="$FOLDER/run/munge.key" --socket="$FOLDER/munge.socket" \
        --pid-file="$FOLDER/run/munged.pid" --log-file="$FOLDER/munged.log" --seed-file="$FOLDER/run/munged.seed"
    mariadb-install-db --user=root --auth-root-authentication-method=normal --skip-test-db \
        --datadir="$FOLDER/database" >"$FOLDER/mariadb.log" 2>&1
    mariadbd --no-defaults --user=root --datadir="$FOLDER/database" --socket="$FOLDER/run/mariadb.socket" \
        --pid-file="$FOLDER/run/mariadbd.pid" --bind-address=127.0.0.1 --port="$DATABASE_PORT" \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 >>"$FOLDER/mariadb.log" 2>&1 &
    wait_for mariadbd mariadb --no-defaults --socket="$FOLDER/run/mariadb.socket" -e "select 1"
    mariadb --no-defaults --socket="$FOLDER/run/mariadb.socket" -e "
        create database slurm; create user 'slurm'@'%' identified by 'trial'; grant all on slurm.* to 'slurm'@'%';
        create user 'slurm'@'localhost' identified by 'trial'; grant all on slurm.* to 'slurm'@'localhost'"
    slurmdbd
    wait_for slurmdbd sacctmgr --immediate show cluster
    sacctmgr --immediate add cluster trial >/dev/null 2>&1 || true  # slurmctld may have been quicker
    slurmctld
    slurmd
    wait_for slurmctld scontrol ping
    wait_for "the node" sh -c 'sinfo --noheader --format=%T | grep -q idle'
    sinfo
}

# Ends the program that a pid file names, if it is that program: a number may have been given anew.
end() {
    local pid
    pid=$(cat "$FOLDER/run/$1.pid" 2>/dev/null) || return 0
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] || return 0
    kill "$pid"
    for _ in $(seq 60); do
        [ -e "/proc/$pid" ] || return 0
        sleep 0.5
    done
    kill -KILL "$pid"
}

stop() {
    [ -e "$SLURM_CONF" ] || fail "there is no cluster in $FOLDER"
    timeout 20 scancel --user=root || true
    for _ in $(seq 90); do
        [ -n "$(timeout 20 squeue --noheader 2>/dev/null)" ] || break
        sleep 0.5
    done
    for program in slurmd slurmctld slurmdbd mariadbd munged; do
        end "$program"
    done
    [ "$(readlink "$LINK")" != "$SLURM_CONF" ] || rm "$LINK"
    rm -rf "$FOLDER"
}

case ${1:-} in
    start | stop) "$1" ;;
    *) fail "usage: $0 start|stop [FOLDER]" ;;
esac
