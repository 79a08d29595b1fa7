//! A cluster as rules read it: what is written, where it stands, and what it resolves to.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};

use ahash::AHashSet;
use multigres_crds::resolve::{Origin, PoolSource, TableGroupSource, table_groups};
use multigres_crds::v1alpha1::{
    CellTemplate, Container, DatabaseTemplate, Member, MultigresCluster, MultigresClusterSpec, Pool,
    TableGroup, VolumeClaimTemplate,
};

use super::fields::{Pods, pods};
use crate::footprint::Footprint;
use crate::path::{FieldPath, Path, PathSet};

/// Path of the cells' templates.
pub(super) const CELLS: Path<'static> = Path::new("spec.cells.templates");
/// Path of the databases' templates.
pub(super) const DATABASES: Path<'static> = Path::new("spec.databases.templates");

/// A cluster, its pools read as one whichever form they are written in.
pub struct View<'a> {
    /// The object.
    pub cluster: &'a MultigresCluster,
    /// The databases, in order.
    pub databases: Vec<Database<'a>>,
    unknown: &'a PathSet,
    footprint: OnceCell<Footprint>,
}

/// A database and its table groups.
pub struct Database<'a> {
    /// Index among the templates.
    pub index: usize,
    /// The template.
    pub template: &'a DatabaseTemplate,
    /// Its table groups, in order.
    pub groups: Vec<TableGroupSource<'a>>,
}

/// A pool's fields as written, before anything is inherited.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub claim: Option<&'a VolumeClaimTemplate>,
    pub postgres: Option<&'a Container>,
    pub multi_pooler: Option<&'a Container>,
    pub multipooler: Option<&'a Container>,
    pub pods: Pods<'a>,
}

macro_rules! written {
    ($pool:ident) => {
        Written {
            claim: $pool.data_volume_claim_template.as_ref(),
            postgres: $pool.postgres.as_ref(),
            multi_pooler: $pool.multi_pooler.as_ref(),
            multipooler: $pool.multipooler.as_deref(),
            pods: pods!($pool),
        }
    };
}

/// Place at which a pool is written.
pub(super) struct Site<'p> {
    /// Path of the pool's fields.
    pub block: Path<'p>,
    /// Path of the object that names its cell: the same, or the entry of the short form.
    pub entry: Path<'p>,
}

impl<'a> View<'a> {
    pub(super) fn of(cluster: &'a MultigresCluster, unknown: &'a PathSet) -> Self {
        let templates = cluster.spec.databases.iter().flat_map(|databases| &databases.templates);
        let database = |(index, template): (usize, &'a DatabaseTemplate)| Database {
            index,
            template,
            groups: table_groups(&template.spec),
        };
        Self {
            cluster,
            databases: templates.enumerate().map(database).collect(),
            unknown,
            footprint: OnceCell::new(),
        }
    }

    /// The spec.
    pub fn spec(&self) -> &'a MultigresClusterSpec {
        &self.cluster.spec
    }

    /// Paths of what could not be decoded.
    pub(super) fn unknown(&self) -> &'a PathSet {
        self.unknown
    }

    /// The cluster's footprint.
    pub(super) fn footprint(&self) -> &Footprint {
        self.footprint.get_or_init(|| Footprint::of(self.cluster))
    }

    /// True if everything that a rule reads at a path is decodable.
    pub(super) fn knows<P>(&self, path: P) -> bool
    where
        FieldPath: From<P>,
    {
        self.unknown.is_empty() || !self.unknown.touches(&FieldPath::from(path))
    }

    /// Each cell and where it is written.
    pub(super) fn each_cell(&self, mut f: impl FnMut(&Path<'_>, &'a CellTemplate)) {
        for (index, cell) in self.spec().cells.templates.iter().enumerate() {
            f(&CELLS.item(index, &cell.name), cell);
        }
    }

    /// Each database and where its spec is written.
    pub(super) fn each_database<'v>(&'v self, mut f: impl FnMut(&Path<'_>, &'v Database<'a>)) {
        for database in &self.databases {
            f(&DATABASES.item(database.index, &database.template.name), database);
        }
    }

    /// Each database that was there before, where it is written, and what it was. Of several with one name it is the
    /// first: that there are others is another rule's to say.
    pub(super) fn each_kept_database(
        &self,
        old: &View<'a>,
        mut f: impl FnMut(&Path<'_>, &Database<'a>, &Database<'a>),
    ) {
        let mut before: HashMap<&str, &Database<'a>> =
            old.databases.iter().map(|database| (database.template.name.as_str(), database)).collect();
        self.each_database(|path, database| {
            if let Some(before) = before.remove(database.template.name.as_str()) {
                f(path, database, before);
            }
        });
    }

    /// Each pool and where it is written.
    pub(super) fn each_pool(&self, mut f: impl FnMut(&Site<'_>, &PoolSource<'a>)) {
        self.each_database(|path, database| {
            for pool in database.groups.iter().flat_map(|group| &group.pools) {
                database.at_pool(path, pool, |site| f(site, pool));
            }
        });
    }

    /// Each pool of either form as it is written.
    pub(super) fn each_written(&self, mut f: impl FnMut(&Path<'_>, Written<'a>)) {
        self.each_database(|path, database| {
            let spec = path.field("spec");
            let list = spec.field("pools");
            for (index, entry) in database.template.spec.pools.iter().enumerate() {
                let path = list.item(index, &entry.cell);
                for (role, member) in [("primary", &entry.primary), ("replica", &entry.replica)] {
                    if let Some(member) = member {
                        f(&path.field(role), written!(member));
                    }
                }
            }
            database.each_full_pool(path, |path, pool| f(path, written!(pool)));
        });
    }

    /// True if the name of a pool is decodable, in a database that is written at `path`. A missing name is derived from
    /// the cell and type.
    pub(super) fn knows_name(&self, path: &Path<'_>, database: &Database<'_>, pool: &PoolSource<'_>) -> bool {
        let written = |group: usize, index: usize| {
            let pools = &database.template.spec.table_groups.get(group)?.shard_template.pools;
            pools.get(index)?.name.as_deref().filter(|name| !name.is_empty())
        };
        self.unknown.is_empty()
            || database.at_pool(path, pool, |site| {
                let knows = |field| self.knows(&site.entry.field(field));
                match pool.origin {
                    Origin::Pool { group, pool } if written(group, pool).is_some() => true,
                    Origin::Pool { .. } => knows("name") && knows("type") && knows("cell"),
                    Origin::Primary { .. } | Origin::Replica { .. } => knows("cell"),
                }
            })
    }

    /// Names of the databases.
    pub(super) fn database_names(&self) -> BTreeSet<String> {
        self.databases.iter().map(|database| database.template.name.clone()).collect()
    }

    /// Names of the cells, where all of them are known.
    pub(super) fn cell_names(&self) -> Option<AHashSet<&'a str>> {
        let mut known = !self.unknown.covers(&FieldPath::from(&CELLS));
        self.each_cell(|path, _| known &= self.knows(&path.field("name")));
        known.then(|| self.spec().cells.templates.iter().map(|cell| cell.name.as_str()).collect())
    }
}

impl<'a> Database<'a> {
    /// A table group by name.
    pub(super) fn group(&self, name: &str) -> Option<&TableGroupSource<'a>> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Names of the table groups.
    pub(super) fn group_names(&self) -> BTreeSet<String> {
        self.groups.iter().map(|group| group.name.to_owned()).collect()
    }

    /// Each table group of the full form and where it is written.
    pub(super) fn each_group(&self, database: &Path<'_>, mut f: impl FnMut(&Path<'_>, &'a TableGroup)) {
        let spec = database.field("spec");
        let list = spec.field("tableGroups");
        for (index, group) in self.template.spec.table_groups.iter().enumerate() {
            f(&list.item(index, &group.name), group);
        }
    }

    /// Each pool of the full form and where it is written.
    pub(super) fn each_full_pool(&self, database: &Path<'_>, mut f: impl FnMut(&Path<'_>, &'a Pool)) {
        // Where there are table groups, they are the database's.
        let mut groups = self.groups.iter();
        self.each_group(database, |path, group| {
            let list = path.field("shardTemplate.pools");
            let sources = groups.next().map_or(&[][..], |group| &group.pools);
            for (index, (pool, source)) in group.shard_template.pools.iter().zip(sources).enumerate() {
                f(&list.item(index, &source.name), pool);
            }
        });
    }

    /// Calls `f` with the path of a pool's block, which a replica may inherit from the primary of its entry.
    pub(super) fn at_block<R>(
        &self,
        database: &Path<'_>,
        pool: &PoolSource<'_>,
        has_block: impl Fn(&Member) -> bool,
        f: impl FnOnce(&Path<'_>) -> R,
    ) -> R {
        let replica = |entry: usize| self.template.spec.pools.get(entry)?.replica.as_ref();
        self.at_pool(database, pool, |site| match pool.origin {
            Origin::Replica { entry } if !replica(entry).is_some_and(has_block) => {
                f(&site.entry.field("primary"))
            }
            _ => f(&site.block),
        })
    }

    /// Calls `f` with the place of a pool of the database that is written at `database`.
    pub(super) fn at_pool<R>(
        &self,
        database: &Path<'_>,
        pool: &PoolSource<'_>,
        f: impl FnOnce(&Site<'_>) -> R,
    ) -> R {
        let spec = database.field("spec");
        let (entry, role) = match pool.origin {
            Origin::Primary { entry } => (entry, "primary"),
            Origin::Replica { entry } => (entry, "replica"),
            Origin::Pool { group, pool: index } => {
                let groups = spec.field("tableGroups");
                let name = self.template.spec.table_groups.get(group).map_or("", |group| &group.name);
                let group = groups.item(group, name);
                let list = group.field("shardTemplate.pools");
                let entry = list.item(index, &pool.name);
                return f(&Site { block: entry, entry });
            }
        };
        let list = spec.field("pools");
        let entry = list.item(entry, pool.cell);
        f(&Site { block: entry.field(role), entry })
    }
}
