//! From a field of a child to the field of its cluster that it was made from.

use multigres_crds::kind::ChildKind;
use multigres_crds::names;
use multigres_crds::resolve::{Origin, table_groups};
use multigres_crds::v1alpha1::{CellTemplate, DatabaseTemplate, MultigresCluster};
use serde_json::Value;

use super::edits::Step::{self, Field, Item};
use super::edits::Steps;

/// A child, and the cluster that it was made from where that is known.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Kind of the child.
    pub kind: ChildKind,
    /// The child's spec, as it is.
    pub spec: &'a Value,
    /// The cluster. Unknown while the caches fill: paths then have names in place of indices.
    pub cluster: Option<&'a MultigresCluster>,
}

impl Source<'_> {
    /// The field of the cluster to change instead. Nothing for what identifies the child.
    pub fn of(&self, path: &[Step<'_>]) -> Option<String> {
        match path {
            [Field("cluster" | "cell" | "database" | "tableGroup" | "shard"), ..] => None,
            [Field("paused" | "forceRolloutAt" | "persistentVolumeClaimRetentionPolicy"), ..] => {
                Some(join("spec", path))
            }
            [Field("pods"), rest @ ..] => Some(join("spec", rest)),
            [Field("globalTopology"), Field("rootPath")] => Some("spec.globalTopoServer.rootPath".to_owned()),
            [Field("globalTopology"), rest @ ..] => Some(join("spec.globalTopoServer.external", rest)),
            _ => Some(match self.kind {
                ChildKind::TopoServer => join("spec.globalTopoServer.managedSpec", path),
                ChildKind::MultiAdmin => join("spec.admin.spec", path),
                ChildKind::MultiOrch => orchestrator(path),
                ChildKind::MultiCell => self.cell(path),
                ChildKind::MultiShard => self.shard(path),
            }),
        }
    }

    /// Advice on what to change in the cluster so that the child is removed.
    pub fn removal(&self) -> String {
        let template = match self.kind {
            ChildKind::TopoServer => return release("set spec.globalTopoServer.external"),
            ChildKind::MultiAdmin => return release("set spec.admin.managed to false"),
            ChildKind::MultiOrch => return release("set spec.orchestrator.managed to false"),
            ChildKind::MultiCell => self.cell_template(),
            ChildKind::MultiShard => self.database_template(),
        };
        format!("remove {template} there")
    }

    fn cell(&self, path: &[Step<'_>]) -> String {
        let template = self.cell_template() + ".spec";
        match path {
            [Field("topology"), rest @ ..] => join(&(template + ".topoServer.external"), rest),
            _ => join(&template, path),
        }
    }

    fn shard(&self, path: &[Step<'_>]) -> String {
        let template = self.database_template() + ".spec";
        match path {
            [Field("password"), Field("secretKeyRef"), rest @ ..] => {
                join(&(template + ".passwordSecretRef"), rest)
            }
            [Field("password"), ..] => template + ".passwordSecretRef",
            [Field("pools"), Item(index), rest @ ..] => self.pool(&template, *index, rest),
            [Field("databaseRecord"), Field("port")] => {
                self.gateway_template() + ".spec.multiGateway.service.port"
            }
            [Field("pools" | "databaseRecord"), ..] => self.pools(&template),
            [Field("backup"), ..] if self.inherits_backup() => join("spec", path),
            _ => join(&template, path),
        }
    }

    /// The list that the shard's pools were written in.
    fn pools(&self, template: &str) -> String {
        let group = self.text("/tableGroup");
        let groups = self.database().map_or_else(Vec::new, |database| table_groups(&database.spec));
        match groups.iter().find(|source| source.name == group).and_then(|source| source.index) {
            Some(index) => format!("{template}.tableGroups[{index}].shardTemplate.pools"),
            None => format!("{template}.pools"),
        }
    }

    fn pool(&self, template: &str, index: usize, path: &[Step<'_>]) -> String {
        let Some(origin) = self.pool_origin(index) else { return self.pools(template) };
        let (entry, member) = match origin {
            Origin::Primary { entry } => (entry, "primary"),
            Origin::Replica { entry } => (entry, "replica"),
            Origin::Pool { group, pool } => {
                let pool = format!("{template}.tableGroups[{group}].shardTemplate.pools[{pool}]");
                return match path {
                    [Field("primaryPreferred"), ..] => pool,
                    _ => self.member(&pool, origin, path),
                };
            }
        };
        let entry = format!("{template}.pools[{entry}]");
        match path {
            [Field("name" | "type" | "primaryPreferred"), ..] => entry,
            [Field("cell"), ..] => join(&entry, path),
            _ => self.member(&format!("{entry}.{member}"), origin, path),
        }
    }

    /// A field of a pool, the pooler in the spelling that the cluster has it in.
    fn member(&self, pool: &str, origin: Origin, path: &[Step<'_>]) -> String {
        match path {
            [Field("multiPooler"), rest @ ..] if self.spells_multipooler(origin) => {
                join(&format!("{pool}.multipooler"), rest)
            }
            _ => join(pool, path),
        }
    }

    fn spells_multipooler(&self, origin: Origin) -> bool {
        let Some(database) = self.database() else { return false };
        let spec = &database.spec;
        match origin {
            Origin::Primary { entry } => spec.pools[entry].primary.as_ref().map(|member| &member.multipooler),
            Origin::Replica { entry } => spec.pools[entry].replica.as_ref().map(|member| &member.multipooler),
            Origin::Pool { group, pool } => {
                Some(&spec.table_groups[group].shard_template.pools[pool].multipooler)
            }
        }
        .is_some_and(Option::is_some)
    }

    fn pool_origin(&self, index: usize) -> Option<Origin> {
        let (group, name) = (self.text("/tableGroup"), self.text(&format!("/pools/{index}/name")));
        let groups = table_groups(&self.database()?.spec);
        let pools = &groups.iter().find(|source| source.name == group)?.pools;
        pools.iter().find(|pool| pool.name == name).map(|pool| pool.origin)
    }

    fn inherits_backup(&self) -> bool {
        self.cluster.is_some_and(|cluster| cluster.spec.backup.is_some())
            && self.database().is_some_and(|database| database.spec.backup.is_none())
    }

    fn cell_template(&self) -> String {
        let name = self.text("/cell");
        item("spec.cells.templates", self.cells().iter().position(|template| template.name == name), name)
    }

    /// The template of the cell whose gateway clients of the database are told of.
    fn gateway_template(&self) -> String {
        let (cluster, host) = (self.text("/cluster"), self.text("/databaseRecord/host"));
        let service = host.split('.').next().unwrap_or_default();
        let index = self.cells().iter().position(|cell| names::multigateway(cluster, &cell.name) == service);
        item("spec.cells.templates", index, service)
    }

    fn cells(&self) -> &[CellTemplate] {
        self.cluster.map_or(&[], |cluster| &cluster.spec.cells.templates)
    }

    fn database_template(&self) -> String {
        let name = self.text("/database");
        let index = self.databases().iter().position(|database| database.name == name);
        item("spec.databases.templates", index, name)
    }

    fn database(&self) -> Option<&DatabaseTemplate> {
        let name = self.text("/database");
        self.databases().iter().find(|database| database.name == name)
    }

    fn databases(&self) -> &[DatabaseTemplate] {
        let databases = self.cluster.and_then(|cluster| cluster.spec.databases.as_ref());
        databases.map_or(&[], |databases| &databases.templates)
    }

    fn text(&self, pointer: &str) -> &str {
        self.spec.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

fn orchestrator(path: &[Step<'_>]) -> String {
    match path {
        [Field("cells"), Item(_), Field("placement"), rest @ ..] => {
            join("spec.orchestrator.spec.placement", rest)
        }
        [Field("cells" | "bringUpCell"), ..] => "spec.cells.templates".to_owned(),
        [Field("databases"), ..] => "spec.databases.templates".to_owned(),
        _ => join("spec.orchestrator.spec", path),
    }
}

fn join(base: &str, path: &[Step<'_>]) -> String {
    format!("{base}{}", Steps(path))
}

fn item(list: &str, index: Option<usize>, name: &str) -> String {
    index.map_or_else(|| format!("{list}[{name}]"), |index| format!("{list}[{index}]"))
}

fn release(how: &str) -> String {
    format!("{how} there first, which releases it")
}

#[cfg(test)]
mod tests {
    use multigres_crds::schema::crds;
    use serde_json::{json, to_value};

    use super::*;
    use crate::path::FieldPath;
    use crate::testing::reviews::{children, cluster, sharded_cluster};

    /// The schema of a kind.
    fn schema(kind: &str) -> Value {
        let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
        to_value(&crd.spec.versions[0]).unwrap().pointer("/schema/openAPIV3Schema").unwrap().clone()
    }

    /// Every field of a schema that holds a value, and every list and map as a whole; of maps a key.
    fn each_leaf<'s>(schema: &'s Value, at: &mut Vec<Step<'s>>, f: &mut dyn FnMut(&[Step<'s>])) {
        let (properties, items) = (schema["properties"].as_object(), schema.get("items"));
        let values = schema.get("additionalProperties").filter(|values| values.is_object());
        if properties.is_none() {
            f(at);
        }
        let of_map = values.map(|values| (Field("key"), values));
        let of_list = items.map(|items| (Item(0), items));
        let of_object = properties.into_iter().flatten().map(|(name, field)| (Field(name.as_str()), field));
        for (step, field) in of_object.chain(of_list).chain(of_map) {
            at.push(step);
            each_leaf(field, at, f);
            at.pop();
        }
    }

    /// True if a schema has a field at this path.
    fn has_field(schema: &Value, path: &str) -> bool {
        let path = FieldPath::parse(path);
        let found = path.names().iter().try_fold(schema, |schema, name| {
            if name.parse::<usize>().is_ok() { schema.get("items") } else { None }
                .or_else(|| schema.get("properties")?.get(&**name))
                .or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()))
        });
        found.is_some()
    }

    #[test]
    fn every_field_of_every_child_comes_from_a_field_of_the_cluster() {
        let cluster_schema = schema("MultigresCluster");
        for (cluster, kind) in [cluster(), sharded_cluster()]
            .iter()
            .flat_map(|cluster| ChildKind::ALL.map(|kind| (cluster, kind)))
        {
            let (child, schema) = (&children(kind, cluster)[0], schema(kind.as_str()));
            let source = Source { kind, spec: &child["spec"], cluster: Some(cluster) };
            let mut leaves = 0;
            each_leaf(&schema["properties"]["spec"], &mut Vec::new(), &mut |path| {
                leaves += 1;
                let field = format!("{} spec{}", kind.as_str(), Steps(path));
                match source.of(path) {
                    Some(found) => assert!(has_field(&cluster_schema, &found), "{field}: {found}"),
                    None => assert!(
                        ["cluster", "cell", "database", "tableGroup", "shard"]
                            .map(|name| [Field(name)])
                            .iter()
                            .any(|identity| identity == path),
                        "{field}"
                    ),
                }
            });
            assert!(leaves > 20, "{kind:?}: {leaves}");
        }
        assert!(!has_field(&cluster_schema, "spec.cells.templates[0].spec.nothing"));
    }

    #[test]
    fn a_field_is_where_it_is_written() {
        let mut cluster = cluster();
        cluster.spec.backup = serde_json::from_value(json!({"s3": {"bucket": "b", "region": "r"}})).unwrap();
        let shard = &children(ChildKind::MultiShard, &cluster)[0];
        let source = Source { kind: ChildKind::MultiShard, spec: &shard["spec"], cluster: Some(&cluster) };
        let of = |path: &[Step<'_>]| source.of(path).unwrap();
        assert_eq!(of(&[Field("backup"), Field("s3"), Field("bucket")]), "spec.backup.s3.bucket");
        assert_eq!(of(&[Field("databaseRecord"), Field("cells")]), "spec.databases.templates[0].spec.pools");
        assert_eq!(
            of(&[Field("databaseRecord"), Field("port")]),
            "spec.cells.templates[0].spec.multiGateway.service.port"
        );
    }
}
