//! Calls of orchestrators.

use prost::Message;

use super::Error;
use super::records::Multiorch;
use super::rpc::Peer;

/// As of v0.1.0, and of the versions after it.
const TRIGGER_RECOVERY_NOW: [&str; 2] =
    ["/multiorch.MultiOrchService/TriggerRecoveryNow", "/multiorch.MultiorchService/TriggerRecoveryNow"];

/// Has an orchestrator look for problems and deal with them now, once, without the grace it otherwise gives. Answers
/// with the problems that remain.
pub async fn trigger_recovery_now(orch: &Multiorch) -> Result<Vec<String>, Error> {
    let request = TriggerRecoveryNowRequest { max_cycles: 1 };
    let peer = Peer::registered(&orch.hostname, &orch.port_map)?;
    let response: TriggerRecoveryNowResponse = peer.call_any(&TRIGGER_RECOVERY_NOW, request).await?;
    Ok(response.remaining_problem_codes)
}

#[derive(Clone, Copy, PartialEq, Message)]
struct TriggerRecoveryNowRequest {
    #[prost(uint32, tag = "1")]
    max_cycles: u32,
}

#[derive(Clone, PartialEq, Message)]
struct TriggerRecoveryNowResponse {
    #[prost(string, repeated, tag = "4")]
    remaining_problem_codes: Vec<String>,
}
