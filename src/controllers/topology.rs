//! The way from a child to its topology: the Secrets that open it, and what a failure means for the child.

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use multigres_crds::v1alpha1::{LocalObjectReference, TopologyReference};

use super::context::Context;
use crate::api_error;
use crate::reason::Reason;
use crate::status::Trouble;
use crate::topology::{Access, Credentials, Error, Written};

/// Access to a topology. Secrets are read by name each time; they are not cached.
pub async fn access(cx: &Context, namespace: &str, topology: &TopologyReference) -> Result<Access, Trouble> {
    let tls = topology.tls.as_ref();
    // Without a client certificate the components speak plain text, whatever authority they know; so does this.
    let Some(client) = tls.and_then(|tls| tls.client_cert_secret_ref.as_ref()) else {
        return Ok(Access::new(topology, None));
    };
    let client = secret(cx, namespace, client).await?;
    let authority = match tls.and_then(|tls| tls.ca_secret_ref.as_ref()) {
        Some(authority) => Some(secret(cx, namespace, authority).await?),
        None => None,
    };
    let credentials = Credentials::new(authority.as_ref(), &client).map_err(|error| trouble(&error))?;
    Ok(Access::new(topology, Some(credentials)))
}

async fn secret(cx: &Context, namespace: &str, reference: &LocalObjectReference) -> Result<Secret, Trouble> {
    let api: Api<Secret> = Api::namespaced(cx.client.clone(), namespace);
    api.get(&reference.name).await.map_err(|error| Trouble {
        reason: Reason::SecretUnavailable,
        message: format!("Secret {}: {}", reference.name, api_error::message(&error)),
        lasting: false,
    })
}

/// Result of writing a record: the change to report, if there was one.
pub fn outcome(written: Result<Written, Error>) -> Result<Option<&'static str>, Trouble> {
    match written {
        // Without a topology client nothing is written, and the status says that nothing is known.
        Ok(Written::Unchanged) | Err(Error::Absent) => Ok(None),
        Ok(Written::Created) => Ok(Some("created")),
        Ok(Written::Updated) => Ok(Some("updated")),
        Err(error) => Err(trouble(&error)),
    }
}

/// Result of removing a record.
pub fn erased(result: Result<(), Error>) -> Result<(), Trouble> {
    match result {
        Ok(()) | Err(Error::Absent) => Ok(()),
        Err(error) => Err(trouble(&error)),
    }
}

fn trouble(error: &Error) -> Trouble {
    Trouble { reason: error.reason(), message: error.to_string(), lasting: error.is_lasting() }
}
