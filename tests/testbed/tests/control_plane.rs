//! Control planes start, serve and are reachable in every way the harness offers.

use testbed::{ControlPlane, Options};

#[tokio::test]
async fn starts() -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    let control_plane = ControlPlane::start(Options::default()).await?;
    eprintln!("{:?}", started.elapsed());
    let out = control_plane.kubectl().must(["get", "ns,sa", "-A"]).await?;
    eprintln!("{out} {:?}", control_plane.audit_log().entries()?.last());
    let sa = control_plane.service_account_kubeconfig("x", "y").await?;
    eprintln!("{:?}", control_plane.kubectl_as(&sa).must(["auth", "whoami"]).await?);
    Ok(())
}
