//! The operator's own life: it becomes ready, and ends when it is asked to.

use testbed::Options;

use crate::installation::Installation;
use crate::samples::{SMALL, converged};

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
