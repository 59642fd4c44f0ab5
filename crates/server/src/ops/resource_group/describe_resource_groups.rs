//! DescribeResourceGroups: groups, oldest first.

use creel_control::access::Actor;
use creel_control::page::PageNumber;
use creel_control::resource_group::{ResourceGroup as Group, ResourceGroupFilter};
use creel_wire::error::ApiError;
use creel_wire::ops::resource_group::describe_resource_groups::{Input, Output, ResourceGroup};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_error, shown_time};

const PAGE_SIZE_DEFAULT: i64 = 20;
const PAGE_SIZE_MAX: i64 = 100;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let page = PageNumber::new(input.page_number, input.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        .map_err(|error| page_error(&error, "PageSize"))?;
    let name = input.resource_group_name.filter(|name| !name.is_empty());
    let filter = ResourceGroupFilter { ids: input.resource_group_ids, name };
    let listed = app.resource_groups.list(&actor.account_id, &filter, page).await;
    let (groups, total) = listed.map_err(super::api_error)?;
    Ok(Output {
        resource_group: Some(groups.into_iter().map(shown).collect()),
        total_count: Some(total.to_string()),
    })
}

/// Counts are texts, as the provider has them. Nobody is authorised to a group alone, and there are no policies, timers
/// or rules that one could have.
fn shown(group: Group) -> ResourceGroup {
    ResourceGroup {
        app_rules: Some(Vec::new()),
        auth_count: Some("0".to_owned()),
        create_time: Some(shown_time(group.created_at_ms, TimeFormat::Nanos)),
        policies: Some(Vec::new()),
        resource_count: Some(group.runtime_count.to_string()),
        resource_group_id: Some(group.id.to_string()),
        resource_group_name: Some(group.name),
        timers: Some(Vec::new()),
        ..ResourceGroup::default()
    }
}
