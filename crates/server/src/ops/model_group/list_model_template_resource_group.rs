//! ListModelTemplateResourceGroup: the resource groups that have a model group, oldest first.

use creel_control::access::Actor;
use creel_control::page::PageNumber;
use creel_wire::error::ApiError;
use creel_wire::ops::model_group::list_model_template_resource_group::{Data, Input, Output};

use super::{api_error, group_id};
use crate::app::App;
use crate::ops::page_error;

const PAGE_SIZE_DEFAULT: i64 = 20;
const PAGE_SIZE_MAX: i64 = 1_000;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = PageNumber::new(input.page_number, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    let group_id = group_id(&input.model_template_id)?;
    let ids = &input.resource_group_ids;
    let listed = app.models.list_resource_groups(&actor.account_id, &group_id, ids, page).await;
    let found = listed.map_err(api_error)?;
    let shown = |id: creel_wire::id::ResourceGroupId| Data { resource_group_id: Some(id.to_string()) };
    Ok(Output {
        data: Some(found.items.into_iter().map(shown).collect()),
        page_number: Some(page.number),
        page_size: Some(page.size),
        total_count: Some(found.total),
    })
}
