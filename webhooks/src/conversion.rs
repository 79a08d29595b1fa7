//! Conversion between versions of the API: there is one, so there is nothing to convert.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the API server asks, as far as an answer needs it.
#[derive(Debug, Deserialize)]
struct Review {
    request: Request,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    #[serde(default, rename = "desiredAPIVersion")]
    desired_api_version: String,
}

/// A body that is no `ConversionReview`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct NotAReview;

/// Refuses a conversion, in the API server's words.
///
/// # Errors
/// When the body asks for none.
pub fn refuse(body: &[u8]) -> Result<Value, NotAReview> {
    let Review { request } = serde_json::from_slice(body).map_err(|_| NotAReview)?;
    let message = format!(
        "conversion to {:?} is not supported: the multigres.com API has the single version v1alpha1",
        request.desired_api_version
    );
    Ok(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "response": {
            "uid": request.uid,
            "convertedObjects": [],
            "result": {"status": "Failure", "message": message},
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_is_refused_by_name() {
        let body = json!({"request": {"uid": "u", "desiredAPIVersion": "multigres.com/v2", "objects": []}});
        let answer = refuse(body.to_string().as_bytes()).unwrap();
        assert_eq!(answer["response"]["uid"], "u");
        assert_eq!(answer["response"]["result"]["status"], "Failure");
        assert!(answer["response"]["result"]["message"].as_str().unwrap().contains("multigres.com/v2"));
        assert_eq!(refuse(b"{}"), Err(NotAReview));
    }
}
