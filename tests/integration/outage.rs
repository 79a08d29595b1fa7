//! While nobody answers admission: what is refused, and how to do it all the same.

use serde_json::json;
use testbed::Options;

use crate::installation::{Installation, eventually};
use crate::rules::sound;

#[tokio::test]
async fn admission_fails_closed_has_a_way_out_and_comes_back() {
    let options = Options { controllers: false, ..Options::default() };
    let installation = Installation::start(options).await.unwrap();
    let namespace = installation.namespace("outage").await;
    let mut cluster = sound();
    cluster["spec"]["paused"] = json!(false);
    cluster["metadata"]["finalizers"] = json!(["example.com/hold"]);
    namespace.clusters().create(&cluster).await.allowed();
    namespace.until("multicell", "sound-zone-a", "made", |_| true).await;
    installation.stop_operator();
    // A connection from before may break under a request first.
    let refused = || async {
        let answer = namespace.clusters().dry_run().create(&sound()).await;
        assert_eq!(answer.code, 500, "{answer:#?}");
        answer.message().contains("connection refused").then_some(())
    };
    eventually("the API server knows that nobody answers", refused).await.unwrap();

    let (cells, clusters) = (namespace.resource("multicells"), namespace.clusters());
    let edit = json!({"spec": {"multiGateway": {"replicas": 7}}});
    for answer in [
        clusters.merge("sound", json!({"spec": {"restartedAt": "2026-01-02T03:04:05Z"}})).await,
        cells.merge("sound-zone-a", edit.clone()).await,
        cells.delete("sound-zone-a").await,
        namespace.clusters().dry_run().create(&sound()).await,
    ] {
        assert_eq!((answer.code, &answer.body["reason"]), (500, &json!("InternalError")), "{answer:#?}");
        assert!(answer.message().contains("failed calling webhook \""), "{}", answer.message());
        assert!(answer.message().contains("connection refused"), "{}", answer.message());
    }
    // The way out of an emergency.
    namespace.opt_out(true).await;
    cells.merge("sound-zone-a", edit).await.allowed();
    namespace.opt_out(false).await;
    // What is deleted goes, and its finalizers can be removed by hand.
    clusters.delete("sound").await.allowed();
    clusters.merge("sound", json!({"metadata": {"finalizers": null}})).await.allowed();
    assert!(namespace.get("multigrescluster", "sound").await.is_none());

    installation.start_operator().await.unwrap();
    let mut wrong = sound();
    wrong["spec"]["globalTopoServer"]["rootPath"] = json!("relative");
    let answered = || async {
        let answer = clusters.create(&wrong).await;
        (answer.code == 422).then_some(answer)
    };
    let answer = eventually("admission answers again", answered).await.unwrap();
    answer.assert_invalid(&[("Invalid", "spec.globalTopoServer.rootPath", "is not an absolute path")]);
}
