//! GetParseProgress: how far a package has come, and what its front matter says.

use creel_control::access::Actor;
use creel_control::skill::ParseProgress;
use creel_wire::error::ApiError;
use creel_wire::ops::skill::get_parse_progress::{Data, Input, Output};

use super::api_error;
use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let progress = app.skills.progress(&actor.account_id, &input.task_key).await.map_err(api_error)?;
    Ok(Output { data: Some(shown(input.task_key, progress)) })
}

fn shown(task_key: String, progress: ParseProgress) -> Data {
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let mut data = Data {
        task_key: Some(task_key),
        status: Some(progress.status.as_str().to_owned()),
        error_code: given(progress.error_code),
        error_message: given(progress.error_message),
        ..Data::default()
    };
    if let Some(manifest) = progress.manifest {
        data.skill_name = Some(manifest.display_name.unwrap_or_else(|| manifest.name.clone()));
        data.slug = Some(manifest.name);
        data.description = Some(manifest.description);
        data.version = manifest.version;
        data.requires_api_key = Some(manifest.api_key_env.is_some());
        data.required_env_vars = Some(manifest.required_env);
    }
    data
}
