//! Calls of poolers that repair an instance.

use std::time::Duration;

use prost::Message;

use super::Error;
use super::records::Multipooler;
use super::rpc::Peer;

/// Of v0.1.0 alone: later versions rewind by themselves.
const REWIND_TO_SOURCE: &str = "/consensus.MultiPoolerConsensus/RewindToSource";

/// As of v0.1.0, and of the versions after it.
const GET_BACKUPS: [&str; 2] = [
    "/multipoolermanager.MultiPoolerManager/GetBackups",
    "/multipoolermanager.MultipoolerManager/GetBackups",
];

/// Longest time that a rewind may take. A pooler gives a rewind up when nobody waits for it any more, and leaves data
/// behind that cannot be used, so this is long enough to compare any two directories.
const REWIND: Duration = Duration::from_mins(30);
/// Longest time that a list of backups may take: pgBackRest reads it from the repository.
const LIST: Duration = Duration::from_secs(30);

/// Has a pooler discard the log that its primary does not have. PostgreSQL is stopped meanwhile. Where nothing is to be
/// discarded it is only started again. Refused as unimplemented by versions that rewind by themselves.
pub async fn rewind(pooler: &Multipooler, primary: &Multipooler) -> Result<(), Error> {
    let peer = Peer::registered(&pooler.hostname, &pooler.port_map)?;
    let request = RewindToSourceRequest { source: Some(primary.clone()) };
    let response: RewindToSourceResponse = peer.call(REWIND_TO_SOURCE, request, REWIND).await?;
    if response.success {
        return Ok(());
    }
    Err(Error::Invalid { what: format!("the rewind of {}", pooler.pod()), why: response.error_message })
}

/// True if a pooler lists a backup that is complete.
pub async fn has_backup(pooler: &Multipooler) -> Result<bool, Error> {
    let peer = Peer::registered(&pooler.hostname, &pooler.port_map)?;
    let response: GetBackupsResponse =
        peer.call_any_within(&GET_BACKUPS, GetBackupsRequest { limit: 0 }, LIST).await?;
    Ok(response.backups.iter().any(|backup| backup.status() == BackupStatus::Complete))
}

#[derive(Clone, PartialEq, Message)]
struct RewindToSourceRequest {
    #[prost(message, optional, tag = "1")]
    source: Option<Multipooler>,
}

#[derive(Clone, PartialEq, Message)]
struct RewindToSourceResponse {
    #[prost(bool, tag = "1")]
    success: bool,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct GetBackupsRequest {
    /// None where it is 0.
    #[prost(uint32, tag = "1")]
    limit: u32,
}

#[derive(Clone, PartialEq, Message)]
struct GetBackupsResponse {
    #[prost(message, repeated, tag = "1")]
    backups: Vec<Backup>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Backup {
    #[prost(enumeration = "BackupStatus", tag = "3")]
    status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum BackupStatus {
    Unknown = 0,
    Incomplete = 1,
    Complete = 2,
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Bytes;
    use axum::routing::post;
    use tonic::Code;

    use super::super::testing::{refusal, reply, serve};
    use super::*;

    #[tokio::test]
    async fn a_backup_counts_once_it_is_complete() {
        for method in GET_BACKUPS {
            for (statuses, expected) in [
                (&[][..], false),
                (&[BackupStatus::Incomplete, BackupStatus::Unknown], false),
                (&[BackupStatus::Incomplete, BackupStatus::Complete], true),
            ] {
                let backups = statuses.iter().map(|status| Backup { status: (*status).into() }).collect();
                let answer = GetBackupsResponse { backups }.encode_to_vec();
                let methods = Router::new().route(method, post(async move || reply(&answer)));
                assert_eq!(has_backup(&serve(methods).await).await.unwrap(), expected, "{statuses:?}");
            }
        }
        // A list that cannot be had is not an empty one.
        assert!(has_backup(&serve(Router::new()).await).await.is_err());
    }

    #[tokio::test]
    async fn a_rewind_names_the_primary_and_may_fail() {
        let primary = Multipooler { hostname: "a-0.ns".to_owned(), ..Multipooler::default() };
        let rewound = |success: bool| RewindToSourceResponse { success, error_message: "why".to_owned() };
        for success in [true, false] {
            let (expected, answer) = (primary.clone(), rewound(success).encode_to_vec());
            let method = post(async move |request: Bytes| {
                // After the five bytes that say how long it is.
                let request = RewindToSourceRequest::decode(&request[5..]).unwrap();
                assert_eq!(request.source, Some(expected));
                reply(&answer)
            });
            let pooler = serve(Router::new().route(REWIND_TO_SOURCE, method)).await;
            let error = rewind(&pooler, &primary).await.err().map(|error| error.to_string());
            assert_eq!(error.is_none(), success);
            assert!(error.is_none_or(|error| error.contains("why")));
        }
        let later = serve(Router::new().fallback(async || refusal(Code::Unimplemented, ""))).await;
        assert!(rewind(&later, &primary).await.unwrap_err().is_unimplemented());
    }
}
