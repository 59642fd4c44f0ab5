//! ListTagResources: tags by runtime and key.

use creel_control::access::Actor;
use creel_control::tag::{BadTags, TagFilter, TaggedRuntime};
use creel_wire::error::ApiError;
use creel_wire::ops::tag::list_tag_resources::{Input, Output, TagResources};

use super::RESOURCE_TYPE;
use crate::app::App;
use crate::ops::page_by_token;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 20, 100)?;
    let mut tags = Vec::new();
    for tag in input.tag {
        tags.push((tag.key.ok_or_else(|| super::bad_tags(&BadTags::Length))?, tag.value));
    }
    let filter = TagFilter { ids: input.resource_id, tags };
    let listed = app.tags.list(&actor.account_id, &filter, after, limit).await;
    let page = listed.map_err(super::api_error)?;
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        tag_resources: Some(page.items.into_iter().map(shown).collect()),
    })
}

fn shown(tag: TaggedRuntime) -> TagResources {
    TagResources {
        resource_id: Some(tag.runtime_id),
        resource_type: Some(RESOURCE_TYPE.to_owned()),
        tag_key: Some(tag.key),
        tag_value: Some(tag.value),
    }
}
