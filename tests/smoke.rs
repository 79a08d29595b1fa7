#![allow(clippy::unwrap_used, missing_docs)]
use std::sync::Arc;
use multigres_operator::*;
#[tokio::test(flavor="multi_thread")]
async fn smoke() {
    tracing_subscriber::fmt().with_env_filter("info,kube=warn").with_writer(std::io::stderr).init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cp = testbed::ControlPlane::start(testbed::Options{ crds: multigres_crds::schema::crds(), fake_nodes: 3, ..Default::default()}).await.unwrap();
    let seams = controllers::Seams { client: cp.client(), environment: Default::default(), topology: Arc::new(topology::Absent), clock: Arc::new(clock::SystemClock), metrics: Arc::new(metrics::Metrics::new())};
    let engine = controllers::Engine::new(&observe::Scope::All, seams);
    let on = tokio_util::sync::CancellationToken::new(); on.cancel();
    tokio::spawn(engine.run(on, tokio_util::sync::CancellationToken::new()));
    let k = cp.kubectl();
    k.must(["create","ns","multigres"]).await.unwrap();
    println!("{}", k.must(["apply","-f","/work/shared/samples/proposal-cluster.yaml"]).await.unwrap());
    for i in 0..6 { tokio::time::sleep(std::time::Duration::from_secs(5)).await;
      println!("{i} {}", k.must(["-n","multigres","get","multigres,sts,deploy,pods,pvc","-o","wide"]).await.unwrap());
      let m = cp.audit_log().entries().unwrap(); println!("writes {}", m.iter().filter(|e| e.is_write() && e.user=="admin").count());
    }
    println!("{}", k.must(["-n","multigres","get","mgc","-o","yaml"]).await.unwrap());
    println!("{}", k.must(["-n","multigres","get","mgs","-o","jsonpath={.items[*].status}"]).await.unwrap());
    println!("{}", k.must(["-n","multigres","get","events"]).await.unwrap());
    for e in cp.audit_log().entries().unwrap().iter().filter(|e| e.is_write() && e.user=="admin") { println!("{} {} {:?} {:?} {:?} {:?}", e.verb, e.resource, e.subresource, e.name, e.code, e.stage_timestamp); }
}
