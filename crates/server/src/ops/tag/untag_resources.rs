//! UntagResources: takes tags off runtimes.

use creel_control::access::Actor;
use creel_control::tag::TagKeys;
use creel_wire::error::ApiError;
use creel_wire::ops::tag::untag_resources::{Input, Output};

use crate::app::App;

/// Keys win over All, as the provider documents it.
pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let keys = match (input.tag_key.is_empty(), input.all.unwrap_or(false)) {
        (false, _) => TagKeys::These(input.tag_key),
        (true, true) => TagKeys::All,
        (true, false) => return Err(ApiError::missing("TagKey")),
    };
    app.tags.remove(actor, input.resource_id, keys).await.map_err(super::api_error)?;
    Ok(Output::default())
}
