//! Who uploads: token, signature, principal and time of a request.

use creel_control::object::UploadSession;
use creel_wire::oss::{Claim, OssCode, OssError, Request};

use super::Head;
use super::answer::{internal, oss_error};
use crate::app::App;

/// Authenticates a request.
pub(super) async fn authenticate(app: &App, head: &Head) -> Result<UploadSession, OssError> {
    let text = |value| std::str::from_utf8(value).ok();
    let headers: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), text(value.as_bytes())?)))
        .collect();
    let request = Request {
        method: head.method.as_str(),
        address: &head.address,
        query: &head.query,
        headers: &headers,
    };
    let claim = Claim::of(&request)?;
    let Some(token) = &claim.security_token else {
        return Err(OssError::new(
            OssCode::INVALID_ACCESS_KEY_ID,
            "Objects take no permanent access keys. Sign with the AccessKeyId, AccessKeySecret and SecurityToken that \
             GetOssStsToken answers, all three.",
        ));
    };
    let session = app.objects.open_token(&claim.access_key_id, token).map_err(oss_error)?;
    claim.verify(&request, &session.secret)?;
    let principal = app.principals.find(&session.principal_id).await.map_err(|error| internal(&error))?;
    if principal.is_none_or(|known| !known.principal.active) {
        return Err(OssError::new(
            OssCode::INVALID_ACCESS_KEY_ID,
            "Whoever got these credentials was turned off or deleted. Ask the administrator of the account.",
        ));
    }
    session.check_time(app.clock.now_ms()).map_err(oss_error)?;
    claim.check_time(app.clock.now())?;
    let region = &app.config.region;
    if claim.region().is_some_and(|signed| signed.strip_prefix("oss-").unwrap_or(signed) != region) {
        return Err(OssError::new(
            OssCode::INVALID_ARGUMENT,
            format!("The signature is for another region. This installation is {region}."),
        ));
    }
    Ok(session)
}
