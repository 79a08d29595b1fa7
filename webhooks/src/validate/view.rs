//! A cluster as rules read it: what is written, where it stands, and what it resolves to.

use std::collections::HashSet;

use multigres_crds::resolve::{Origin, PoolSource, TableGroupSource, table_groups};
use multigres_crds::v1alpha1::{CellTemplate, DatabaseTemplate, MultigresCluster, MultigresClusterSpec};

use crate::path::{FieldPath, Path, PathSet};

/// Where the templates of the cells are.
pub(super) const CELLS: Path<'static> = Path::new("spec.cells.templates");
/// Where the templates of the databases are.
pub(super) const DATABASES: Path<'static> = Path::new("spec.databases.templates");

/// A cluster, its pools read as one whichever form they are written in.
pub struct View<'a> {
    /// The object.
    pub cluster: &'a MultigresCluster,
    /// The databases, in order.
    pub databases: Vec<Database<'a>>,
    unknown: &'a PathSet,
}

/// A database and its table groups.
pub struct Database<'a> {
    /// Where it stands among the templates.
    pub index: usize,
    /// The template.
    pub template: &'a DatabaseTemplate,
    /// Its table groups, in order.
    pub groups: Vec<TableGroupSource<'a>>,
}

/// Where a pool is written.
pub(super) struct Site<'p> {
    /// What the pool is made of.
    pub block: Path<'p>,
    /// What names its cell: the same, or the entry of the short form that holds it.
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
        Self { cluster, databases: templates.enumerate().map(database).collect(), unknown }
    }

    /// The spec.
    pub fn spec(&self) -> &'a MultigresClusterSpec {
        &self.cluster.spec
    }

    /// Paths of what could not be decoded.
    pub(super) fn unknown(&self) -> &'a PathSet {
        self.unknown
    }

    /// Whether what a rule reads at a path is known, all of it.
    pub(super) fn knows(&self, path: &Path<'_>) -> bool {
        self.unknown.is_empty() || !self.unknown.touches(&FieldPath::from(path))
    }

    /// Each cell and where it is written.
    pub(super) fn each_cell(&self, mut f: impl FnMut(&Path<'_>, &'a CellTemplate)) {
        for (index, cell) in self.spec().cells.templates.iter().enumerate() {
            f(&CELLS.item(index, &cell.name), cell);
        }
    }

    /// Each database and where its spec is written.
    pub(super) fn each_database(&self, mut f: impl FnMut(&Path<'_>, &Database<'a>)) {
        for database in &self.databases {
            f(&DATABASES.item(database.index, &database.template.name), database);
        }
    }

    /// Each pool and where it is written.
    pub(super) fn each_pool(&self, mut f: impl FnMut(&Site<'_>, &PoolSource<'a>)) {
        self.each_database(|path, database| {
            for pool in database.groups.iter().flat_map(|group| &group.pools) {
                database.at_pool(path, pool, |site| f(site, pool));
            }
        });
    }

    /// Names of the cells.
    pub(super) fn cell_names(&self) -> HashSet<&'a str> {
        self.spec().cells.templates.iter().map(|cell| cell.name.as_str()).collect()
    }
}

impl Database<'_> {
    /// Where a pool of this database, which is written at `database`, is written.
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
