//! The words for a failed call of the API server: its message, once.
//!
//! The library's own text of such an error ends with the debug form of the whole answer, which no condition, Event or
//! log line may show. Every place that turns an error into text goes through [`message`] or [`chain`].

use std::error::Error as StdError;

use kube::core::Status;
use kube::runtime::watcher;

/// The cause that an API server gives when it refuses to create an object because its namespace is being deleted.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// The text of a failed call: the API server's message if it answered, else the root cause.
pub fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => of_status(status),
        kube::Error::HyperError(_)
        | kube::Error::Service(_)
        | kube::Error::HttpError(_)
        | kube::Error::ReadEvents(_) => {
            format!("the API server does not answer: {}", root(error))
        }
        kube::Error::SerdeError(_)
        | kube::Error::FromUtf8(_)
        | kube::Error::LinesCodecMaxLineLengthExceeded => {
            format!("the API server's answer cannot be read: {}", root(error))
        }
        _ => root(error),
    }
}

/// The text of a watch that failed.
pub fn watch_message(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => message(error),
        watcher::Error::WatchError(status) => of_status(status),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// The text of an error and its causes, outermost first. A cause that its effect has told already is left out.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in causes(error) {
        let known = known(error);
        let is_last = known.is_some();
        let text = known.unwrap_or_else(|| error.to_string());
        if parts.last().is_none_or(|told| !told.ends_with(&text)) {
            parts.push(text);
        }
        if is_last {
            break;
        }
    }
    parts.join(": ")
}

/// True if the API server refuses to create an object because its namespace is being deleted. That is expected: the
/// namespace's content goes with it, and nothing is left to be done.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == NAMESPACE_TERMINATING)
}

/// The text of an error of which more is known than its own text says.
fn known(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<kube::Error>() {
        return Some(message(error));
    }
    // The source of an error that boxes it.
    if let Some(error) = error.downcast_ref::<Box<kube::Error>>() {
        return Some(message(error));
    }
    if let Some(error) = error.downcast_ref::<watcher::Error>() {
        return Some(watch_message(error));
    }
    error.downcast_ref::<Status>().map(of_status)
}

fn of_status(status: &Status) -> String {
    let texts = [&status.message, &status.reason];
    let text = texts.into_iter().find(|text| !text.is_empty()).cloned();
    text.unwrap_or_else(|| format!("the API server answers with status {}", status.code))
}

/// The innermost cause; those around it only name the layers that it passed.
fn root(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;
    use kube::core::response::StatusSummary;

    use super::*;

    /// Marks of the debug form of a type.
    const DEBUG_FORMS: [&str; 6] = ["Status {", "Some(", "None", "Err(", "Ok(", "Error("];

    fn refusal(message: &str, reason: &str, code: u16) -> Box<Status> {
        let status = Some(StatusSummary::Failure);
        Box::new(Status {
            status,
            code,
            message: message.to_owned(),
            reason: reason.to_owned(),
            ..Status::default()
        })
    }

    /// An error as the crate's own are.
    #[derive(Debug, thiserror::Error)]
    #[error("status of {of}: {}", message(.source))]
    struct Boxed {
        of: &'static str,
        source: Box<kube::Error>,
    }

    fn serde_error() -> serde_json::Error {
        serde_json::from_str::<u32>("x").unwrap_err()
    }

    /// One error of each variant that a call can end with, and its text.
    fn errors() -> Vec<(kube::Error, &'static str)> {
        let refused = || io::Error::other("Connection refused (os error 111)");
        let wrapped = io::Error::other(anyhow::Error::new(refused()).context("client error (Connect)"));
        let utf8 = String::from_utf8(vec![0xff]).unwrap_err();
        let uri = axum::http::Uri::from_static("ftp://proxy/");
        vec![
            (
                kube::Error::Api(refusal("secrets \"a\" is forbidden", "Forbidden", 403)),
                "secrets \"a\" is forbidden",
            ),
            (kube::Error::Api(refusal("", "Conflict", 409)), "Conflict"),
            (kube::Error::Api(refusal("", "", 502)), "the API server answers with status 502"),
            (
                kube::Error::Service(Box::new(refused())),
                "the API server does not answer: Connection refused (os error 111)",
            ),
            (
                kube::Error::Service(wrapped.into()),
                "the API server does not answer: Connection refused (os error 111)",
            ),
            (
                kube::Error::ReadEvents(refused()),
                "the API server does not answer: Connection refused (os error 111)",
            ),
            (
                kube::Error::HttpError(axum::http::Error::from(axum::http::Uri::try_from("::").unwrap_err())),
                "the API server does not answer: invalid authority",
            ),
            (
                kube::Error::SerdeError(serde_error()),
                "the API server's answer cannot be read: expected value at line 1 column 1",
            ),
            (
                kube::Error::FromUtf8(utf8),
                "the API server's answer cannot be read: invalid utf-8 sequence of 1 bytes from index 0",
            ),
            (
                kube::Error::LinesCodecMaxLineLengthExceeded,
                "the API server's answer cannot be read: Error finding newline character",
            ),
            (
                kube::Error::BuildRequest(kube::core::request::Error::Validation("no name".to_owned())),
                "failed to validate request: no name",
            ),
            (
                kube::Error::Discovery(kube::error::DiscoveryError::MissingKind("Cell".to_owned())),
                "Missing Kind: Cell",
            ),
            (kube::Error::TlsRequired, "TLS required but no TLS stack selected"),
            (
                kube::Error::ProxyProtocolUnsupported { proxy_url: Box::new(uri) },
                "configured proxy ftp://proxy/ uses an unsupported protocol",
            ),
            (
                kube::Error::InferKubeconfig(kube::config::KubeconfigError::CurrentContextNotSet),
                "failed to determine current context",
            ),
        ]
    }

    #[test]
    fn an_error_is_told_in_plain_words() {
        for (error, expected) in errors() {
            assert_eq!(message(&error), expected);
        }
    }

    #[test]
    fn no_text_shows_a_debug_form_or_tells_anything_twice() {
        for (error, expected) in errors() {
            let boxed = Boxed { of: "shop", source: Box::new(error) };
            let outer = anyhow::Error::new(boxed).context("outermost");
            assert_eq!(chain(&*outer), format!("outermost: status of shop: {expected}"));
        }
        for (error, expected) in errors() {
            let key = crate::observe::ObjectKey::new("Secret", "n", "a");
            let apply = crate::apply::ApplyError::Api { key, source: Box::new(error) };
            assert_eq!(apply.to_string(), format!("Secret a: {expected}"));
            assert_eq!(chain(&apply), apply.to_string());
        }
        for (error, expected) in errors() {
            let with_context = Err::<(), _>(error).context("Secret a").unwrap_err();
            let text = chain(&*with_context);
            assert_eq!(text, format!("Secret a: {expected}"));
            assert!(DEBUG_FORMS.iter().all(|form| !text.contains(form)), "{text}");
        }
        for (error, expected) in errors() {
            let watch = watcher::Error::InitialListFailed(error);
            assert_eq!(watch_message(&watch), expected);
            assert_eq!(chain(&watch), expected);
        }
        let gone = watcher::Error::WatchError(refusal("too old resource version", "Expired", 410));
        assert_eq!(watch_message(&gone), "too old resource version");
    }

    #[test]
    fn a_terminating_namespace_is_told_from_other_refusals() {
        let mut terminating = refusal("unable to create new content in namespace n", "Forbidden", 403);
        for (reason, expected) in [("NamespaceTerminating", true), ("FieldValueInvalid", false)] {
            let details = serde_json::json!({ "causes": [{ "reason": reason }] });
            terminating.details = serde_json::from_value(details).unwrap();
            assert_eq!(is_namespace_terminating(&kube::Error::Api(terminating.clone())), expected);
        }
        assert!(!is_namespace_terminating(&kube::Error::Api(refusal("no", "Forbidden", 403))));
        assert!(!is_namespace_terminating(&kube::Error::TlsRequired));
    }
}
