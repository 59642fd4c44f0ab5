//! TagResources: puts tags on runtimes.

use creel_control::access::Actor;
use creel_wire::error::ApiError;
use creel_wire::ops::tag::tag_resources::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let tags = input
        .tag
        .into_iter()
        .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
        .collect();
    app.tags.put(actor, input.resource_id, tags).await.map_err(super::api_error)?;
    Ok(Output::default())
}
