//! The client: etcd for what is written down, poolers and orchestrators for what only they know.
//!
//! It holds no connections. A call is a handful of requests, some seconds or minutes after the last one; addresses,
//! certificates and members may have changed in between.

use futures::future::{BoxFuture, join_all};
use multigres_crds::v1alpha1::{MultiCellSpec, MultiShardSpec, Truth};
use prost::Message;

use super::cohort::Leader;
use super::desired::{CELL, DATABASE, cell_key, database_key, desired_cell, desired_database, pooler_key};
use super::etcd::{Etcd, KeyValue};
use super::merge::{Fields, Malformed, merge};
use super::poolers::{PoolerStatus, StatusResponse};
use super::records::{Cell, Id, Multiorch, Multipooler};
use super::roles::{Roles, Sighting, led, roles};
use super::{Access, Error, EtcdState, MemberChange, Topology, Written, orch, poolers, repair};

/// Attempts at a record that others write at the same time.
const ATTEMPTS: usize = 4;

/// A client of a running Multigres.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client;

/// A record that the operator writes.
struct Record {
    key: String,
    value: Vec<u8>,
    owned: Fields,
}

impl Record {
    fn of_cell(global: &Access, cell: &MultiCellSpec) -> Self {
        let value = desired_cell(cell).encode_to_vec();
        Self { key: cell_key(&global.root, &cell.cell), value, owned: CELL }
    }

    fn of_database(global: &Access, shard: &MultiShardSpec) -> Option<Self> {
        let value = desired_database(shard)?.encode_to_vec();
        Some(Self { key: database_key(&global.root, &shard.database), value, owned: DATABASE })
    }

    /// The bytes to write in place of the existing ones.
    fn update(&self, existing: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        merge(existing, &self.value, self.owned).map_err(|error| unreadable(&self.key, error))
    }

    async fn ensure(&self, etcd: &Etcd) -> Result<Written, Error> {
        for _ in 0..ATTEMPTS {
            let (value, revision, written) = match etcd.get(&self.key).await? {
                None => (self.value.clone(), 0, Written::Created),
                Some(found) => match self.update(&found.value)? {
                    None => return Ok(Written::Unchanged),
                    Some(value) => (value, found.mod_revision, Written::Updated),
                },
            };
            if etcd.put_if(&self.key, value, revision).await? {
                return Ok(written);
            }
        }
        Err(Error::Conflict { key: self.key.clone() })
    }

    /// Removes the record, unless somebody else has written it since.
    async fn remove(&self, etcd: &Etcd) -> Result<(), Error> {
        let Some(found) = etcd.get(&self.key).await? else { return Ok(()) };
        if self.update(&found.value)?.is_none() {
            etcd.delete_if(&self.key, found.mod_revision).await?;
        }
        Ok(())
    }
}

impl Access {
    fn etcd(&self) -> Result<Etcd, Error> {
        Etcd::new(&self.address, self.credentials.as_ref())
    }

    /// To the topology of a cell. Components open it with what opens the global one.
    fn of_cell(&self, cell: &Cell) -> Self {
        Self {
            address: cell.server_addresses.join(","),
            root: cell.root.clone(),
            credentials: self.credentials.clone(),
        }
    }

    async fn cell(&self, name: &str) -> Result<Self, Error> {
        let key = cell_key(&self.root, name);
        let found = self.etcd()?.get(&key).await?;
        let found = found.ok_or_else(|| Error::NotRegistered { what: format!("cell {name}") })?;
        Ok(self.of_cell(&decode(&found)?))
    }

    async fn cells(&self) -> Result<Vec<Cell>, Error> {
        self.list("cells", "/Cell").await
    }

    async fn poolers(&self) -> Result<Vec<Multipooler>, Error> {
        self.list("poolers", "/Pooler").await
    }

    async fn orchs(&self) -> Result<Vec<Multiorch>, Error> {
        self.list("orchs", "/Orch").await
    }

    /// The records of one kind. There may be other keys beside them.
    async fn list<M: Message + Default>(&self, directory: &str, file: &str) -> Result<Vec<M>, Error> {
        let found = self.etcd()?.list(&format!("{}/{directory}/", self.root)).await?;
        found.iter().filter(|found| found.key.ends_with(file.as_bytes())).map(decode).collect()
    }
}

fn decode<M: Message + Default>(found: &KeyValue) -> Result<M, Error> {
    M::decode(found.value.as_slice()).map_err(|_| unreadable(&String::from_utf8_lossy(&found.key), Malformed))
}

fn unreadable(key: &str, source: Malformed) -> Error {
    Error::Unreadable { key: key.to_owned(), source }
}

async fn see(global: &Access, shard: &MultiShardSpec) -> Roles {
    let (sightings, unseen) = sightings(global, shard).await;
    roles(&sightings, unseen, shard.durability_policy)
}

/// Asks every cell for its poolers of the shard, and those for their status; tells also what could not be asked. A cell
/// that no pool is in any more may still have the primary.
async fn sightings(global: &Access, shard: &MultiShardSpec) -> (Vec<Sighting>, Vec<String>) {
    let cells = match global.cells().await {
        Ok(cells) => cells,
        Err(error) => {
            tracing::debug!(%error, "the cells are not known");
            return (Vec::new(), vec![format!("topology {}", global.address)]);
        }
    };
    let found = join_all(cells.iter().map(async |cell| (cell, global.of_cell(cell).poolers().await))).await;
    let (mut registered, mut unseen) = (Vec::new(), Vec::new());
    for (cell, poolers) in found {
        match poolers {
            Ok(poolers) => registered.extend(poolers.into_iter().filter(|pooler| pooler.is_of(shard))),
            Err(error) => {
                tracing::debug!(%error, cell = cell.name, "its poolers are not known");
                unseen.push(format!("cell {}", cell.name));
            }
        }
    }
    (join_all(registered.into_iter().map(ask)).await, unseen)
}

async fn ask(pooler: Multipooler) -> Sighting {
    let answer = poolers::status(&pooler).await;
    if let Err(error) = &answer {
        tracing::debug!(%error, pod = pooler.pod(), "its status is not known");
    }
    let kept_out = |answer: &StatusResponse| answer.status.as_ref().is_some_and(PoolerStatus::is_kept_out);
    let locked_out = answer.as_ref().is_ok_and(kept_out) && poolers::is_locked_out(&pooler).await;
    Sighting::new(pooler, answer.ok()).with_lock(locked_out)
}

async fn remove_from_cohort(global: &Access, shard: &MultiShardSpec, pooler: &Id) -> Result<(), Error> {
    let (sightings, _) = sightings(global, shard).await;
    leader_of(&sightings)?.remove(pooler).await
}

/// Any orchestrator will do. Those that are gone without a word are still registered, so each is tried.
async fn trigger_recovery(global: &Access, cell: &str) -> Result<Vec<String>, Error> {
    let mut result = Err(Error::NotRegistered { what: format!("an orchestrator of cell {cell}") });
    for orch in global.cell(cell).await?.orchs().await? {
        result = orch::trigger_recovery_now(&orch).await;
        if result.is_ok() {
            break;
        }
    }
    result
}

/// A rewind is asked for only while the same instance leads and the other one does not.
async fn rewind(global: &Access, shard: &MultiShardSpec, pooler: &Id) -> Result<(), Error> {
    let (sightings, _) = sightings(global, shard).await;
    let leader = leader_of(&sightings)?;
    let is_meant = |sighting: &&Sighting| sighting.record().id.as_ref() == Some(pooler);
    let lost = sightings.iter().find(is_meant).filter(|_| leader.pooler.id.as_ref() != Some(pooler));
    let lost = lost.ok_or_else(|| Error::NotRegistered { what: format!("a standby {}", pooler.name) })?;
    repair::rewind(lost.record(), leader.pooler).await
}

fn leader_of(sightings: &[Sighting]) -> Result<Leader<'_>, Error> {
    led(sightings).ok_or_else(|| Error::NotRegistered { what: "a leader of the shard".to_owned() })
}

impl Topology for Client {
    fn reachable<'a>(&'a self, topology: &'a Access) -> BoxFuture<'a, Truth> {
        Box::pin(async {
            // A key that need not exist: a read of it takes a quorum, as every read of the components does.
            let answer = async { topology.etcd()?.get(&topology.root).await };
            answer.await.inspect_err(|error| tracing::debug!(%error, "the topology")).is_ok().into()
        })
    }

    fn etcd<'a>(&'a self, topology: &'a Access) -> BoxFuture<'a, Result<EtcdState, Error>> {
        Box::pin(async { topology.etcd()?.state().await })
    }

    fn change_members<'a>(
        &'a self,
        topology: &'a Access,
        change: &'a MemberChange,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let etcd = topology.etcd()?;
            match change {
                MemberChange::Remove(id) => etcd.remove_member(*id).await,
                MemberChange::AddLearner(url) => etcd.add_learner(url).await,
                MemberChange::Promote(id) => etcd.promote_member(*id).await,
            }
        })
    }

    fn roles<'a>(&'a self, global: &'a Access, shard: &'a MultiShardSpec) -> BoxFuture<'a, Roles> {
        Box::pin(see(global, shard))
    }

    fn ensure_cell<'a>(
        &'a self,
        global: &'a Access,
        cell: &'a MultiCellSpec,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async { Record::of_cell(global, cell).ensure(&global.etcd()?).await })
    }

    fn ensure_database<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async {
            match Record::of_database(global, shard) {
                Some(record) => record.ensure(&global.etcd()?).await,
                None => Ok(Written::Unchanged),
            }
        })
    }

    fn remove_cell<'a>(
        &'a self,
        global: &'a Access,
        cell: &'a MultiCellSpec,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Record::of_cell(global, cell).remove(&global.etcd()?).await })
    }

    fn remove_database<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            match Record::of_database(global, shard) {
                Some(record) => record.remove(&global.etcd()?).await,
                None => Ok(()),
            }
        })
    }

    fn remove_pooler<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
        pooler: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async {
            remove_from_cohort(global, shard, pooler).await?;
            let cell = global.cell(&pooler.cell).await?;
            cell.etcd()?.delete(&pooler_key(&cell.root, pooler)).await
        })
    }

    fn remove_from_cohort<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
        pooler: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(remove_from_cohort(global, shard, pooler))
    }

    fn rewind_pooler<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
        pooler: &'a Id,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(rewind(global, shard, pooler))
    }

    fn has_backup<'a>(
        &'a self,
        global: &'a Access,
        shard: &'a MultiShardSpec,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async {
            let (sightings, _) = sightings(global, shard).await;
            // While a leader lists backups it can do nothing else.
            let follower = sightings.iter().find(|sighting| sighting.streams());
            let follower = follower.ok_or_else(|| Error::NotRegistered { what: "a standby".to_owned() })?;
            repair::has_backup(follower.record()).await
        })
    }

    fn trigger_recovery<'a>(
        &'a self,
        global: &'a Access,
        cell: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(trigger_recovery(global, cell))
    }
}
