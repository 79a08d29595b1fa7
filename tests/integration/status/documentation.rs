//! `docs/status.md`: the conditions of every object, and every reason that they may have.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use multigres_operator::reason::Reason;
use strum::IntoEnumIterator;

const INTRODUCTION: &str = "\
# What the status says

`make generate` writes the table of reasons from the operator's source; do not edit it.

```sh
kubectl get multigres                                      # every object with Ready, and the reason where it is not
kubectl wait --for=condition=Ready multigrescluster/NAME   # until everything serves as the spec asks for
kubectl describe multigrescluster NAME                     # conditions, children, events
```

| condition | meaning of `True` |
|---|---|
| `Ready` | everything that the spec asks for serves and is up to date, and every instance follows its primary |
| `Available` (of a cluster) | everything that the spec asks for serves |
| `Progressing` | something is left to do |
| `Reconciling` | something is left to do, and the operator will finish it without help |
| `Stalled` | something is blocked until a person acts; the message says what to do |
| `Paused` | the operator writes nothing |
| `ImmutableField`, `ImageRewritten` | an object differs from the spec, and the operator cannot change it |
| `TurndownBlocked` (of a cluster) | the spec no longer asks for something, and `deletionProtection` keeps it |

`Unknown` means that the fact cannot be observed, because the component that knows it does not answer. `servingWrites` of a
database is `True` only if a primary takes writes and a standby of its quorum acknowledges them. It describes the shard: a
gateway that has lost a pooler for long retries after pauses that double from 5 s up to a minute (Multigres v0.1.0), and
may serve clients that much later. The operator asks the poolers for their roles every ten seconds, every second while the
roles are about to change, and at once when a pod changes.

`initialized` of a database is `True` for good once a pooler was seen to have data. It is `False` only while no pooler has
ever registered, and every volume of the shard, the backup volume included, exists and is not older than the shard: then no
data exists that another major version of PostgreSQL could not read.

To recreate an instance from the backup, because its volume is lost or PostgreSQL cannot start on it, run `kubectl delete pvc
data-POD --wait=false && kubectl delete pod POD`, one instance at a time, and only while `servingWrites` is `True`.

The operator repairs an instance that has taken part in its shard and has not followed the primary for a minute, as long as
every other instance does. If PostgreSQL accepts no connections, it restarts the pod (`PodEvicted`; again after ten minutes).
Then it rewinds the instance, which discards the log that the primary does not have (`InstanceRewound`, or `RewindFailed`;
again after five minutes). Where that does not help, and the database has
`replaceLostInstances: true`, it deletes the data volume and the pod (`InstanceReplaced`), once all of this has held for five
minutes: writes are served, every pooler answers, the primary and another instance have every commit (in two cells for
`MULTI_CELL_AT_LEAST_2`), and a complete backup is listed (`InstanceNotReplaced` says that it is not). Without that field the
volume is kept until a person deletes it. What is on such a volume alone was never acknowledged. Nor was what a former primary
may have archived after another one had taken over: `segment … ends after …`, or `is left out`, in the log of an instance
that is made anew says that it has the rest from the primary instead (`restore_wal.sh` in the ConfigMap of the shard).

While the shards of a new cluster are brought up, one orchestrator runs, in the first cell: `bringUpCell` of the MultiOrch
names it. All orchestrators run once all instances have joined, or after ten minutes (Event `BringUpEnded`).

An orchestrator that recruits standbys for a new leader and then does nothing more leaves them without anybody to follow
(Multigres v0.1.0). The operator frees such a standby after 30 seconds: the leader leaves it out of its cohort for a moment
(Event `StandbyFreed`). Where no standby follows and no write is acknowledged for a minute, it evicts the pod of the leader,
at most every five minutes (Event `PodEvicted`).

A member of etcd that lost its volume is replaced without help where `spec.workloadRevision` is 2 or more and a quorum of
the others serves: the operator removes its old identity, adds a new one and deletes the pod, so that etcd starts at once. A
member that is merely down is left alone: its data may come back. Where a quorum has lost its volumes for good, delete the
claims and pods of all members of etcd: the topology is then written anew. With one member that happens by itself.

A rollout replaces pods that serve only while it is known who leads (`AwaitingTopology`). Where every pod is ready and
nobody leads, and the change itself is the cure, a person can let it go on: set `spec.forceRolloutAt` of the
`MultigresCluster` to the present time (`date -u +%FT%TZ`). Once a shard has been without a leader for five minutes, its
outdated pods are then replaced one at a time, each after every pod has been ready for a minute, until somebody leads
again. The value holds for one hour from the time that it names, so one that stays in a manifest does not touch a later
rollout; a new time is needed for more. The price: writes may stop that were served unseen, as when the topology does not
answer, and a write that was acknowledged is lost if every volume that holds it is lost in that hour. Volumes are never
removed this way: a pool that shrinks waits with `AwaitingQuorum` until its other instances follow a primary.

The operator publishes one Event for each obstacle and for each of its actions: `Created`, `DriftReverted`,
`FailoverTriggered`, `InstanceRewound`, `RewindFailed`, `InstanceReplaced`, `InstanceNotReplaced`, `PodEvicted`,
`PodDeleted`, `ScaledDown`, `PoolerRemoved`, `TopologyRecordWritten`, `EtcdMemberRemoved`, `EtcdMemberAdded`,
`EtcdMemberPromoted`, `Deleted`, `Resumed`, `BringUpEnded`, `StandbyFreed`,
`PasswordRestored`, `DeletionWaits` and `TopologyRecordLeft` ([deletion](deletion.md)).

## Reasons

| reason | what it means, and what to do |
|---|---|
";

fn document() -> String {
    let mut out = INTRODUCTION.to_owned();
    for reason in Reason::iter() {
        let meaning: Vec<&str> = reason.meaning().split_whitespace().collect();
        writeln!(out, "| `{}` | {} |", reason.as_str(), meaning.join(" ")).unwrap();
    }
    out
}

/// `UPDATE=1` writes the file anew instead of comparing it.
#[test]
fn it_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status.md");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, document()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == document(), "docs/status.md is out of date: make generate");
}
