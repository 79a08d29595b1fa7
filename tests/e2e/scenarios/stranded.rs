//! Standbys that were recruited for a leader that never came.

use std::time::SystemTime;

use anyhow::Context;
use kube::ResourceExt;
use multigres_operator::topology::Id;
use multigres_operator::topology::records::ComponentType;
use prost::Message;
use testbed::Node;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use super::failover::primary;
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::consensus::Consensus;
use crate::episode::Episode;

const RECRUIT: &str = "/consensus.MultiPoolerConsensus/Recruit";
/// The gRPC port of a pooler.
const GRPC: u16 = 16001;

#[derive(Clone, PartialEq, Message)]
struct RecruitRequest {
    #[prost(message, optional, tag = "1")]
    term_revocation: Option<TermRevocation>,
}

#[derive(Clone, PartialEq, Message)]
struct TermRevocation {
    #[prost(int64, tag = "1")]
    revoked_below_term: i64,
    #[prost(message, optional, tag = "2")]
    accepted_coordinator_id: Option<Id>,
    #[prost(message, optional, tag = "3")]
    coordinator_initiated_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    outgoing_rule: Option<RuleNumber>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RuleNumber {
    #[prost(int64, tag = "1")]
    coordinator_term: i64,
    #[prost(int64, tag = "2")]
    leader_subterm: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RecruitResponse {}

/// Every standby is recruited for the next term, by an orchestrator that then does nothing more. Nothing is acknowledged
/// until the operator has the leader resign.
pub async fn standbys_that_were_recruited_for_nobody_are_freed(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, node) = bench.cluster().await?;
    let primary = primary(cluster).await?;
    let seen = cluster.see().await?;
    let (term, subterm) = Consensus::ask(cluster).await?.number;
    // Their PostgreSQL is restarted by the orchestrators, which try to have them follow.
    let episode =
        Episode::begin(cluster, "all standbys recruited for a leader that never comes").disrupting_all();
    for pod in seen.pods.iter().map(ResourceExt::name_any).filter(|pod| *pod != primary) {
        recruit(cluster, node, &pod, term, subterm)
            .await
            .with_context(|| format!("{pod} is not recruited"))?;
    }
    episode.end(cluster).await
}

async fn recruit(
    cluster: &Cluster,
    node: &Node,
    pod: &str,
    coordinator_term: i64,
    leader_subterm: i64,
) -> anyhow::Result<()> {
    let port = node.forward_service(cluster.manifest.namespace, pod, GRPC).await?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let coordinator = Id {
        component: ComponentType::Multiorch.into(),
        cell: "us-east-1".to_owned(),
        name: "an-orchestrator-that-is-gone".to_owned(),
    };
    let revocation = TermRevocation {
        revoked_below_term: coordinator_term + 1,
        accepted_coordinator_id: Some(coordinator),
        coordinator_initiated_at: Some(Timestamp { seconds: i64::try_from(now.as_secs())? }),
        outgoing_rule: Some(RuleNumber { coordinator_term, leader_subterm }),
    };
    let channel = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?;
    let mut pooler = Grpc::new(channel);
    pooler.ready().await?;
    let codec = ProstCodec::<RecruitRequest, RecruitResponse>::default();
    let request = Request::new(RecruitRequest { term_revocation: Some(revocation) });
    pooler.unary(request, RECRUIT.parse()?, codec).await?;
    cluster.report.did(&format!("Recruit {{term: {}}} # {pod}", coordinator_term + 1), "");
    Ok(())
}
