//! The password Secret is not the one that the data was initialised with: a person's mistake, and a person's to mend.

use std::time::Duration;

use anyhow::Context;
use kube::ResourceExt;
use multigres_crds::v1alpha1::{SecretKeyReference, Truth};

use super::failover::primary;
use super::failures::A_WHILE;
use crate::bench::Bench;
use crate::cluster::{Cluster, Seen};
use crate::episode::Episode;

/// The operator looks at a shard every ten seconds.
const A_MINUTE: Duration = Duration::from_mins(1);

/// In base64.
const WRONG: &str = "d3Jvbmc=";

/// Running instances go on. A restarted instance is locked out of its own PostgreSQL, and the status says so. With the
/// right password it takes part again.
pub async fn a_wrong_password_stops_nothing_that_runs(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let standby = cluster.see().await?.standby().context("there is a standby")?;
    let password = Password::of(cluster).await?;
    let episode = Episode::begin(cluster, "a wrong password in the Secret, and a standby restarted");
    password.overwrite(cluster).await?;
    restart(cluster, &standby).await?;
    cluster.advance(A_WHILE).await?;
    cluster.until("the status names the instance and the Secret", |seen| blames(seen, &[&standby])).await?;
    cluster.show(&["get", "multigrescluster"]).await?;

    password.restore(cluster).await?;
    restart(cluster, &standby).await?;
    episode.end(cluster).await
}

/// Two of three instances are shut out, the primary among them: a copy of what was acknowledged may be with either, so
/// that nobody may lead. Nothing is lost by it once the password is right.
pub async fn without_its_password_a_quorum_waits_for_it(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let standby = cluster.see().await?.standby().context("there is a standby")?;
    let primary = primary(cluster).await?;
    let password = Password::of(cluster).await?;
    let episode = Episode::begin(cluster, "a wrong password, and a standby and the primary restarted");
    let episode = episode.disrupting_all();
    password.overwrite(cluster).await?;
    restart(cluster, &standby).await?;
    cluster.until("the status names the standby", |seen| blames(seen, &[&standby])).await?;
    restart(cluster, &primary).await?;
    let serves_nothing =
        |seen: &Seen| seen.database().serving_writes == Truth::False && blames(seen, &[&standby, &primary]);
    cluster.until("the status says that nothing is served, and why", serves_nothing).await?;
    cluster.show(&["get", "multigrescluster"]).await?;

    password.restore(cluster).await?;
    restart(cluster, &standby).await?;
    restart(cluster, &primary).await?;
    episode.end(cluster).await
}

/// The password Secret is deleted. The operator makes it again from the connection Secret: no running pod is disturbed, and
/// an instance that is started afterwards opens its data with it.
pub async fn a_lost_password_is_restored(bench: &mut Bench) -> anyhow::Result<()> {
    let (cluster, _) = bench.cluster().await?;
    let standby = cluster.see().await?.standby().context("there is a standby")?;
    let password = Password::of(cluster).await?;
    let episode = Episode::begin(cluster, "the password Secret deleted").disrupting_none();
    cluster.show(&["delete", "secret", &password.secret.name]).await?;
    password.restored(cluster).await?;
    episode.end(cluster).await?;

    let episode = Episode::begin(cluster, "a standby restarted with the restored password");
    restart(cluster, &standby).await?;
    episode.end(cluster).await
}

/// True if the status says that instances are shut out.
fn blames(seen: &Seen, pods: &[&str]) -> bool {
    let says = |(status, reason, message): (&str, &str, &str)| {
        (status, reason) == ("True", "PasswordMismatch") && pods.iter().all(|pod| message.contains(pod))
    };
    !seen.is("Ready", "True") && seen.condition("Stalled").is_some_and(says)
}

/// The password of a cluster's only shard.
struct Password {
    secret: SecretKeyReference,
    /// In base64.
    right: String,
}

impl Password {
    async fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let seen = cluster.see().await?;
        let secret = seen.shard().context("there is a shard")?.spec.password.secret_key_ref.clone();
        let data = format!("jsonpath={{.data.{}}}", secret.key);
        let right = cluster.kubectl(&["get", "secret", &secret.name, "-o", &data]).await?;
        Ok(Self { secret, right })
    }

    /// Waits until the Secret is there again, with what it had.
    async fn restored(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let data = format!("jsonpath={{.data.{}}}", self.secret.key);
        let args = ["get", "secret", &self.secret.name, "--ignore-not-found", "-o", &data];
        let restored = async {
            loop {
                let value = cluster.kubectl(&args).await?;
                if !value.is_empty() {
                    anyhow::ensure!(value == self.right, "another password was made over the data");
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(A_MINUTE, restored).await.context("the Secret is not there again")?
    }

    async fn overwrite(&self, cluster: &Cluster) -> anyhow::Result<()> {
        cluster.show(&["patch", "secret", &self.secret.name, "-p", &self.patch(WRONG)]).await.map(drop)
    }

    async fn restore(&self, cluster: &Cluster) -> anyhow::Result<()> {
        cluster.kubectl(&["patch", "secret", &self.secret.name, "-p", &self.patch(&self.right)]).await?;
        cluster.report.did(&format!("kubectl patch secret {} # the right one", self.secret.name), "");
        Ok(())
    }

    fn patch(&self, value: &str) -> String {
        format!(r#"{{"data":{{"{}":"{value}"}}}}"#, self.secret.key)
    }
}

/// Deletes an instance's pod, and waits until there is another.
async fn restart(cluster: &Cluster, pod: &str) -> anyhow::Result<()> {
    let seen = cluster.see().await?;
    let before = seen.pod(pod).and_then(ResourceExt::uid);
    cluster.show(&["delete", "pod", pod, "--wait=false"]).await?;
    let another = |seen: &Seen| {
        let uid = seen.pod(pod).and_then(ResourceExt::uid);
        uid.is_some() && uid != before
    };
    cluster.until("the pod is made again", another).await.map(drop)
}
