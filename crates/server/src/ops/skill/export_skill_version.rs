//! ExportSkillVersion: a version with its record in one signed file, for another Creel.

use creel_control::access::Actor;
use creel_control::object::BUCKET;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::export_skill_version::{Input, Output};

use super::{api_error, skill_id};
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = skill_id(&input.skill_id)?;
    let exported = app.skills.export(actor, &id, &input.skill_version).await.map_err(api_error)?;
    let granted = exported.grant;
    Ok(Output {
        access_key_id: Some(granted.key_id.to_string()),
        access_key_secret: Some(granted.secret.expose().to_owned()),
        bucket: Some(BUCKET.to_owned()),
        etag: Some(exported.etag),
        object_key: Some(exported.object_key),
        oss_region: Some(format!("oss-{}", app.config.region)),
        security_token: Some(granted.token.expose().to_owned()),
        source: Some(exported.source),
    })
}
