//! Roles from the poolers' own status, by way of the admin server: the status is compared with them.

use kube::api::{GetParams, Request};
use serde_json::Value;

use crate::cluster::Cluster;

/// The newest rule that a pooler knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Consensus {
    /// Term and subterm of the rule.
    pub number: (i64, i64),
    /// The pod that leads.
    pub leader: Option<String>,
    /// Number of instances the leader counts on, itself included.
    pub members: usize,
}

impl Consensus {
    /// Asks every pooler. One that does not answer is left out.
    pub async fn ask(cluster: &Cluster) -> anyhow::Result<Self> {
        let answer = told(cluster, "poolers").await?;
        let poolers = answer["poolers"].as_array().map_or(&[][..], Vec::as_slice);
        let mut newest = Self::default();
        for pooler in poolers {
            let id = &pooler["id"];
            let (cell, name) =
                (id["cell"].as_str().unwrap_or_default(), id["name"].as_str().unwrap_or_default());
            let Ok(status) = told(cluster, &format!("poolers/{cell}/{name}/status")).await else { continue };
            let known = Self::of(&status["consensus_status"]["current_position"]["rule"], poolers);
            if known.number > newest.number {
                newest = known;
            }
        }
        Ok(newest)
    }

    fn of(rule: &Value, poolers: &[Value]) -> Self {
        let number = |key: &str| rule["rule_number"][key].as_str().and_then(|number| number.parse().ok());
        let leader = poolers.iter().find(|pooler| pooler["id"] == rule["leader_id"]);
        let pod = |pooler: &Value| pooler["hostname"].as_str()?.split('.').next().map(str::to_owned);
        Self {
            number: (number("coordinator_term").unwrap_or(0), number("leader_subterm").unwrap_or(0)),
            leader: leader.and_then(pod),
            members: rule["cohort_members"].as_array().map_or(0, Vec::len),
        }
    }
}

/// Answer of the admin server.
pub async fn told(cluster: &Cluster, path: &str) -> anyhow::Result<Value> {
    let (namespace, name) = (cluster.manifest.namespace, cluster.manifest.cluster);
    let service = format!("/api/v1/namespaces/{namespace}/services/{name}-admin:http/proxy/api/v1");
    let (parent, last) = match path.rsplit_once('/') {
        Some((between, last)) => (format!("{service}/{between}"), last),
        None => (service, path),
    };
    Ok(cluster.client().request(Request::new(parent).get(last, &GetParams::default())?).await?)
}
