//! GetOssStsToken: credentials for uploads below one prefix, for a quarter of an hour.

use creel_control::access::Actor;
use creel_control::object::{BUCKET, FileKind};
use creel_wire::error::ApiError;
use creel_wire::ops::skill::get_oss_sts_token::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let named = input.file_type.filter(|name| !name.is_empty());
    let kind = match named {
        None => FileKind::Skill,
        Some(name) => FileKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| ApiError::invalid("FileType", "The parameter FileType must be SKILL or ICON."))?,
    };
    let granted = app.objects.grant(actor, kind).await.map_err(super::object_error)?;
    Ok(Output {
        access_key_id: Some(granted.key_id.to_string()),
        access_key_secret: Some(granted.secret.expose().to_owned()),
        bucket: Some(BUCKET.to_owned()),
        object_key_prefix: Some(granted.prefix),
        oss_region: Some(format!("oss-{}", app.config.region)),
        security_token: Some(granted.token.expose().to_owned()),
    })
}
