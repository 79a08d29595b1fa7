//! Conversion between versions of the API: there is one, so there is nothing to convert.

use kube::core::Status;
use kube::core::conversion::{ConversionRequest, ConversionResponse, ConversionReview};

/// A body that is no `ConversionReview`.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAReview;

/// Refuses a conversion, in the API server's words.
///
/// # Errors
/// When the body asks for none.
pub fn refuse(body: &[u8]) -> Result<ConversionReview, NotAReview> {
    let review: ConversionReview = serde_json::from_slice(body).map_err(|_| NotAReview)?;
    let request = ConversionRequest::from_review(review).map_err(|_| NotAReview)?;
    let message = format!(
        "conversion to {:?} is not supported: the multigres.com API has the single version v1alpha1",
        request.desired_api_version
    );
    let failure = Status::failure(&message, "BadRequest");
    Ok(ConversionResponse::for_request(request).failure(failure).into_review())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conversion_is_refused_by_name() {
        let body = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "ConversionReview",
            "request": {"uid": "u", "desiredAPIVersion": "multigres.com/v2", "objects": [{"kind": "MultiCell"}]},
        });
        let answer = serde_json::to_value(refuse(body.to_string().as_bytes()).unwrap()).unwrap();
        assert_eq!(answer["kind"], "ConversionReview");
        assert_eq!(answer["response"]["uid"], "u");
        assert_eq!(answer["response"]["convertedObjects"], json!([]));
        assert_eq!(answer["response"]["result"]["status"], "Failure");
        assert!(answer["response"]["result"]["message"].as_str().unwrap().contains("multigres.com/v2"));
        assert_eq!(refuse(b"{}"), Err(NotAReview));
    }
}
