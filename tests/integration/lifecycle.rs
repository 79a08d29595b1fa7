//! The operator's own life: it becomes ready, and ends when it is asked to.

use testbed::Options;

use crate::installation::{Installation, eventually};
use crate::samples::{SMALL, converged};

/// As an administrator or a GitOps tool would replace them: what is written there does not name the authority.
#[tokio::test]
async fn it_is_trusted_again_after_its_configurations_were_replaced() {
    let installation = Installation::start(Options { fake_nodes: 0, ..Options::default() }).await.unwrap();
    let namespace = installation.namespace("replaced").await;
    let kinds = "mutatingwebhookconfiguration,validatingwebhookconfiguration";
    namespace.kubectl().must(["delete", kinds, "multigres-operator"]).await.unwrap();
    namespace.kubectl().must_with_stdin(["apply", "-f", "-"], &installation.manifests()).await.unwrap();
    let dry_run = ["apply", "--dry-run=server", "-f", "-"];
    eventually("webhooks are trusted", || async { namespace.with_input(&dry_run, SMALL).await.ok() })
        .await
        .unwrap();
}

#[tokio::test]
async fn it_starts_and_ends_again_and_again() {
    let installation = Installation::start(Options { fake_nodes: 1, ..Options::default() }).await.unwrap();
    for _ in 0..5 {
        installation.end_operator().await.unwrap();
        installation.start_operator().await.unwrap();
    }
    let namespace = installation.namespace("lifecycle").await;
    namespace.apply(SMALL).await.unwrap();
    converged(&namespace, "small").await;
}
